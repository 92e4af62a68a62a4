/* Zoom and pan. Panzoom reads the pointers; the limits, the wheel and what moves together are ours. */

const MOST_ZOOM = 12;
const AT_REST = Object.freeze({ x: 0, y: 0, scale: 1 });

/**
 * Let images be zoomed and moved as one, each in a frame of its own, its parent: what happens to one happens to all.
 * `onZoom(scale)` is told of each change. Gives {by(factor), rest(), stop()}.
 */
function zoomTogether(images, onZoom = () => {}) {
  let now = AT_REST;
  const draw = (_, wanted) => {
    now = withinLimits(wanted, images);
    for (const image of images) {
      image.style.transform = `scale(${now.scale}) translate(${now.x}px, ${now.y}px)`;
      image.parentElement.toggleAttribute("data-zoomed", now.scale > 1);
    }
    onZoom(now.scale);
  };
  const zooms = images.map((image) => Panzoom(image, {
    animate: false,
    canvas: true,
    cursor: "",
    handleStartEvent: (event) => event.preventDefault(),
    maxScale: MOST_ZOOM,
    minScale: 1,
    panOnlyWhenZoomed: true,
    pinchAndPan: true,
    setTransform: draw,
  }));
  const listening = new AbortController();
  zooms.forEach((zoom, place) => followFrame({ zoom, image: images[place], now: () => now, signal: listening.signal }));
  return {
    by: (factor) => zooms.length && taken(zooms[0], now).zoom(now.scale * factor),
    rest: () => zooms.length && zooms[0].reset({ animate: false }),
    stop() {
      listening.abort();
      for (const zoom of zooms) zoom.destroy();
      for (const image of images) image.style.transform = "";
    },
  };
}

/** Wheel, double click and a beginning drag: before each, Panzoom learns where the images are by now. */
function followFrame({ zoom, image, now, signal }) {
  const frame = image.parentElement;
  const isOurs = (event) => !event.target.closest(".panzoom-exclude");
  frame.addEventListener("pointerdown", () => taken(zoom, now()), { signal, capture: true });
  frame.addEventListener("wheel", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    taken(zoom, now()).zoomToPoint(now().scale * wheelFactor(event), event);
  }, { signal, passive: false });
  frame.addEventListener("dblclick", (event) => {
    if (!isOurs(event)) return;
    if (now().scale > 1) zoom.reset({ animate: false });
    else taken(zoom, now()).zoomToPoint(closeUp(image), event);
  }, { signal });
}

/** A notch of a wheel is a fifth; a trackpad sends many small steps, and a pinch on it as a wheel with Ctrl. */
function wheelFactor({ deltaX, deltaY, ctrlKey, deltaMode }) {
  const delta = (deltaY || deltaX) * (deltaMode ? 33 : 1) * (ctrlKey ? 4 : 1);
  return Math.exp(-Math.min(240, Math.max(-240, delta)) * 0.0018);
}

function taken(zoom, { x, y, scale }) {
  zoom.zoom(scale, { animate: false, force: true, silent: true });
  zoom.pan(x, y, { animate: false, force: true, silent: true });
  return zoom;
}

/** The scale at which one pixel of an image is one of the screen, or twice the size where that is hardly larger. */
function closeUp(image) {
  const shown = fittedIn(image.parentElement, image);
  return Math.min(MOST_ZOOM, Math.max(2, image.naturalWidth / shown.width));
}

/** The size at which an image stands whole in its frame; its padding is the margin around it. */
function fittedIn(frame, image) {
  const margin = parseFloat(getComputedStyle(image).paddingLeft) || 0;
  const [width, height] = [frame.clientWidth - 2 * margin, frame.clientHeight - 2 * margin];
  const ratio = image.naturalWidth / image.naturalHeight || width / height || 1;
  return { width: Math.min(width, height * ratio), height: Math.min(height, width / ratio) };
}

/** No image leaves its frame further than to its own edge. */
function withinLimits({ x, y, scale }, images) {
  if (scale <= 1) return AT_REST; // without a measure, which would lay the page out
  const room = { x: 0, y: 0 };
  for (const image of images) {
    const frame = image.parentElement;
    const shown = fittedIn(frame, image);
    room.x = Math.max(room.x, (shown.width * scale - frame.clientWidth) / 2 / scale);
    room.y = Math.max(room.y, (shown.height * scale - frame.clientHeight) / 2 / scale);
  }
  const within = (value, most) => Math.min(most, Math.max(-most, value));
  return { x: within(x, room.x), y: within(y, room.y), scale };
}

/** What "+", "-" and "." do to a zoom. */
function zoomByKey(zoom, key) {
  if (key === ".") zoom.rest();
  else zoom.by(key === "-" ? 1 / 1.4 : 1.4);
}
