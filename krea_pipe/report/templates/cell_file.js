/* A cell as a pipeline file of its own. */

/** The pipeline file that draws one cell; the cells whose images it needs come first, each as a stage. */
function pipelineOf(cell) {
  const chain = chainTo(cell);
  const files = chain.flatMap((one) => imagesOf(one.request)).filter((source) => fileOf(source).path && !source.startsWith("key:"));
  const lines = [
    `# ${onOneLine(cell.id)}, as requested in the run ${onOneLine(report.run_id)}.`,
    ...(files.length ? ["# Save it at the top of the repository: image paths are relative to it."] : []),
    "version: 1",
    `name: ${plainName(report.pipeline.name)}`,
    ...(cell.request.engine ? [engineLine(cell.request.engine)] : []),
    "stages:",
  ];
  chain.forEach((one, place) => lines.push(...stageOf(one, place, chain)));
  return `${lines.join("\n")}\n`;
}

/** A cell and, before it, those whose images it needs; a request needs the image of one other at most. */
function chainTo(cell) {
  const chain = [cell];
  for (;;) {
    const source = imagesOf(chain[0].request).find((one) => one.startsWith("key:"));
    const upstream = source && cellsByKey.get(source.slice(4));
    if (!upstream || chain.includes(upstream)) return chain;
    chain.unshift(upstream);
  }
}

/** The engine of a request as a line of a file; its LoRAs are files, which a report does not have. */
function engineLine({ name, version, model, revision, dtype, steps, guidance, negative_prompt: negative }) {
  const kind = name === "diffusers" ? { kind: "diffusers" } : { kind: "openai-images", dialect: name, url: report.target.base };
  const fields = { ...kind, version, model, revision, dtype, steps, guidance, ...(negative ? { negative_prompt: negative } : {}) };
  return `engine: {${Object.entries(fields).map(([key, value]) => `${key}: ${typeof value === "number" ? value : yamlText(value)}`).join(", ")}}`;
}

const STAGE_FIELDS = ["variant", "aspect_ratio", "resolution", "creativity", "intensity", "complexity", "movement"];

function stageOf(cell, place, chain) {
  const { request } = cell;
  const name = (at) => (chain.length === 1 ? "cell" : `step-${at + 1}`);
  const lines = [`  ${name(place)}:`];
  const add = (text) => lines.push(`    ${text}`);
  if (place) add(`for_each: ${name(place - 1)}`);
  add(`prompt: ${yamlText(request.prompt)}`);
  for (const field of STAGE_FIELDS) if (field in request && !(request.engine && field === "variant")) add(`${field}: ${yamlValue(request[field])}`);
  add(`seed: ${request.seed ?? "null"}`);
  if (request.take) add(`takes: ${request.take}`);
  if (request.take > 1) add(`exclude: [{take: [${Array.from({ length: request.take - 1 }, (_, at) => at + 1).join(", ")}]}]`);
  addList(lines, "references", (request.image_style_references ?? []).map((one) => ({ image: imageText(one.image, place), strength: one.strength })));
  for (const kind of ["moodboards", "styles"]) {
    addList(lines, kind, (request[kind] ?? []).map(({ id, strength }) => ({ id: yamlText(id), strength })));
  }
  if (request.image) {
    add(`image: ${imageText(request.image.image, place)}`);
    add(`strength: ${request.image.strength}`);
  }
  return lines;
}

function addList(lines, name, items) {
  if (!items.length) return;
  lines.push(`    ${name}:`);
  for (const item of items) {
    lines.push(`      - {${Object.entries(item).map(([key, value]) => `${key}: ${value}`).join(", ")}}`);
  }
}

/** An image as a pipeline file names it: a path, a URL, or that of the stage before. */
function imageText(source, place) {
  const { url, path, missing } = fileOf(source);
  if (source.startsWith("key:") && place) return yamlText("{{ source.image }}", false);
  if (url) return yamlText(url);
  if (path) return yamlText(source.startsWith("key:") ? path : path.replace(/[*?[]/g, "[$&]"));
  return yamlText(`PATH OF ${missing}`);
}

const yamlValue = (value) => (typeof value === "string" ? yamlText(value) : JSON.stringify(value));

/** A text in double quotes; braces that a template would read are given by a template. */
function yamlText(text, isLiteral = true) {
  const safe = isLiteral ? text.replace(/\{[{%#]/g, "{{ '$&' }}") : text;
  const hard = /[\u007f-\u00a0\u2028\u2029\ufeff\ufffe\uffff]/g;
  return JSON.stringify(safe).replace(hard, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A pipeline's name has letters, digits, dots, hyphens and underscores. */
const plainName = (name) => yamlText(name.replace(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 64) || "cell");


