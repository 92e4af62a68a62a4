/* What can be copied of a cell: its prompt, its request as JSON, as a call of cURL, as a pipeline file. */

const KREA_BASE = "https://api.krea.ai";

/** A button that copies what `textOf()` gives when it is pressed. */
function copyButton(label, textOf, properties = {}) {
  const button = make("button", { type: "button", className: "action", textContent: label, ...properties });
  button.addEventListener("click", async () => {
    const done = await copyText(textOf(), button);
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

/** The clipboard API is closed to some pages from disk, the old command is not. */
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { value: text, "aria-hidden": "true" });
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.focus();
    return done;
  }
}

/** A digest: eight signs of it to read, all of it to copy. */
function digestButton(digest) {
  return copyButton(digest.slice(0, 8), () => digest, { className: "digest mono", title: `Copy ${digest}`, "aria-label": `Copy digest ${digest}` });
}

/** The engine that draws a request in place of Krea, in one line. */
function engineText({ name, version, model, revision, dtype, steps, guidance, negative_prompt: negative }) {
  const words = [`${name} ${version}`, `${model} (${revision})`, dtype, `${steps} steps`, `guidance ${guidance}`];
  return [...words, ...(negative ? [`not: ${negative}`] : [])].join(", ");
}

const requestText = (cell) => JSON.stringify(cell.request, null, 2);

/** The images that a request needs, in the order in which it names them, each once. */
function imagesOf(request) {
  const named = [...(request.image_style_references ?? []), ...(request.image ? [request.image] : [])];
  return [...new Set(named.map(({ image }) => image))];
}

/**
 * The file that a source stands for: {path} as the pipeline's repository or the run's folder has it, {url}, or
 * {missing}, a sentence.
 */
function fileOf(source) {
  if (source.startsWith("key:")) {
    const cell = cellsByKey.get(source.slice(4));
    return cell?.image ? { path: cell.image, cell } : { missing: `the image of the request ${source.slice(4, 16)}`, cell };
  }
  if (!source.startsWith("sha256:")) return { url: source };
  const label = referencesBySource.get(source)?.label;
  return label && label !== source && label !== "data URI" ? { path: label } : { missing: `the image with the digest ${source.slice(7, 19)}` };
}

/** A request as the calls of cURL that repeat it; what has to be uploaded first stands above it, in comments. */
function curlOf(cell) {
  const base = report.target.kind === "live" ? report.target.base.replace(/\/+$/, "") : KREA_BASE;
  const { uploads, urls } = uploadsOf(cell.request, base);
  const route = `${base}/generate/image/krea/krea-2/${cell.request.variant}`;
  const body = JSON.stringify(bodyOf(cell.request, urls), null, 2);
  return [
    ...uploads,
    `curl -sS -X POST ${shellQuoted(route)} \\`,
    '  -H "Authorization: Bearer $KREA_API_KEY" \\',
    "  -H 'Content-Type: application/json' \\",
    `  --data-raw ${shellQuoted(body)}`,
    "",
  ].join("\n");
}

/** The request as Krea takes it: images by URL, the source image and its strength under names of their own. */
function bodyOf(request, urls) {
  const { variant, take, image, image_style_references: references, ...body } = request;
  if (image) Object.assign(body, { image_url: urls.get(image.image), strength: image.strength });
  if (references) {
    body.image_style_references = references.map((one) => ({ url: urls.get(one.image), strength: one.strength }));
  }
  return body;
}

function uploadsOf(request, base) {
  const urls = new Map();
  const uploads = [];
  for (const source of imagesOf(request)) {
    const { url, path, missing } = fileOf(source);
    const name = url ?? `URL_OF_IMAGE_${uploads.length / 2 + 1}`;
    urls.set(source, name);
    if (url) continue;
    uploads.push(onOneLine(`# Upload ${path ?? missing} first, and replace ${name} with the image_url of the answer:`));
    uploads.push(onOneLine(`# curl -sS ${shellQuoted(`${base}/assets`)} -H "Authorization: Bearer $KREA_API_KEY" -F ${shellQuoted(formField(path ?? "FILE"))}`));
  }
  return { uploads, urls };
}

const UPLOAD_TYPES = { jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp", heic: "image/heic" };

/** A file as cURL's -F takes it; Krea wants an exact media type. */
function formField(path) {
  const type = UPLOAD_TYPES[path.slice(path.lastIndexOf(".") + 1).toLowerCase()];
  const name = path.replace(/[\\"]/g, "\\$&");
  return `file=@"${name}"${type ? `;type=${type}` : ""}`;
}

/** A text as one word of a POSIX shell. */
const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A comment ends with its line: nothing of a name may begin another one. */
const onOneLine = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "?");
