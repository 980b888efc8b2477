// 3D view of a part's points: turned by mouse, touch, keyboard and buttons.
"use strict";

const TURN_PER_PX = 0.008; // radians
const TURN_PER_KEY = Math.PI / 24;
const ZOOM_PER_STEP = 1.15;
const NEAREST = 12;
const FARTHEST = 0.4;

/** The view in an element with a canvas; `data-points` is the binary's address. */
class PointView {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.message = root.querySelector("[role=status]");
    this.mode = "psi";
    this.tray = true;
    this.pointers = new Map();
    this.reset();
  }

  async open() {
    const response = await fetch(this.root.dataset.points, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error((await response.json()).error);
    this.cloud = decodeCloud(await response.arrayBuffer());
    if (!this.cloud.count) throw new Error(this.root.dataset.empty);
    Object.assign(this, placePoints(this.cloud));
    this.start((canvas) => new GlRenderer(canvas, this.cloud, this.placed), "webgl");
    new ResizeObserver(() => this.redraw()).observe(this.root);
  }

  /** Draw by WebGL, or by the plain canvas where WebGL is missing or lost. A canvas has one kind for ever. */
  start(make, name) {
    try {
      this.renderer = make(this.canvas);
    } catch (error) {
      if (name === "canvas") throw error;
      return this.replaceCanvas();
    }
    this.canvas.dataset.renderer = name;
    this.canvas.addEventListener("webglcontextlost", () => this.replaceCanvas(), { once: true });
    this.listen();
    this.recolour();
  }

  replaceCanvas() {
    const fresh = this.canvas.cloneNode(false);
    this.canvas.replaceWith(fresh);
    this.canvas = fresh;
    this.start((canvas) => new PlainRenderer(canvas, this.cloud, this.placed), "canvas");
  }

  reset() {
    Object.assign(this, { yaw: 0.35, pitch: -0.65, zoom: 0.85, pan: [0, 0] });
  }

  recolour() {
    this.renderer.paint(colourPoints(this.cloud, this.mode));
    this.redraw();
  }

  redraw() {
    if (this.waiting || !this.renderer) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
      if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
      const radius = 0.45 * Math.min(width, height) * this.zoom;
      const pan = this.pan.map((shift) => shift * ratio);
      const size = Math.max(1.5, 1.6 * this.spacing * radius);
      this.renderer.draw({ width, height, radius, pan, size, tray: this.tray, rows: rotation(this) });
      const shown = { yaw: this.yaw.toFixed(3), pitch: this.pitch.toFixed(3), zoom: this.zoom.toFixed(3) };
      Object.assign(this.canvas.dataset, shown);
    });
  }

  turn(right, down) {
    this.yaw += right;
    this.pitch = Math.min(Math.max(this.pitch + down, -Math.PI / 2), Math.PI / 2);
    this.redraw();
  }

  scale(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, FARTHEST), NEAREST);
    this.redraw();
  }

  shift(x, y) {
    this.pan = [this.pan[0] + x, this.pan[1] + y];
    this.redraw();
  }

  /** One action by name: of a key, or of a button's data-do. True if there is one. */
  act(name) {
    const actions = {
      ArrowLeft: () => this.turn(-TURN_PER_KEY, 0),
      ArrowRight: () => this.turn(TURN_PER_KEY, 0),
      ArrowUp: () => this.turn(0, -TURN_PER_KEY),
      ArrowDown: () => this.turn(0, TURN_PER_KEY),
      "+": () => this.scale(ZOOM_PER_STEP),
      "-": () => this.scale(1 / ZOOM_PER_STEP),
      0: () => (this.reset(), this.redraw()),
    };
    if (!Object.hasOwn(actions, name)) return false;
    actions[name]();
    return true;
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey && this.act(event.key === "=" ? "+" : event.key)) event.preventDefault();
    });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // the page scrolls until the view is chosen
      event.preventDefault();
      this.scale(event.deltaY < 0 ? ZOOM_PER_STEP : 1 / ZOOM_PER_STEP);
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus({ preventScroll: true });
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
  }

  /** One finger or the left button turns; two fingers zoom and shift; the right button or Shift shifts. */
  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const [x, y] = [now[0] - before[0], now[1] - before[1]];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (other) {
      const distance = (place) => Math.max(Math.hypot(place[0] - other[1][0], place[1] - other[1][1]), 1);
      this.scale(distance(now) / distance(before));
      this.shift(x / 2, y / 2);
    } else if (event.shiftKey || event.buttons === 2) this.shift(x, y);
    else this.turn(TURN_PER_PX * x, TURN_PER_PX * y);
  }
}

for (const root of document.querySelectorAll("[data-points]")) {
  const view = new PointView(root);
  view.open().catch((error) => {
    view.message.textContent = error.message || root.dataset.failed;
    view.message.hidden = false;
    for (const other of [...root.children].filter((child) => child !== view.message)) other.hidden = true;
  });
  for (const button of root.querySelectorAll("[data-do]")) button.addEventListener("click", () => view.act(button.dataset.do));
  for (const choice of root.querySelectorAll("input[name=colour]")) {
    choice.addEventListener("change", () => {
      view.mode = choice.value;
      if (view.renderer) view.recolour();
    });
  }
  root.querySelector("input[name=tray]").addEventListener("change", (event) => {
    view.tray = event.target.checked;
    view.redraw();
  });
}
