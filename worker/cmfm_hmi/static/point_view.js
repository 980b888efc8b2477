// 3D view of a part's points: turned by mouse, touch, keyboard and buttons. WebGL, or a 2D canvas where there is none.
"use strict";

const HEAD_BYTES = 28; // the table in cmfm_protocol/pictures/point_cloud.py
const PALETTE_BYTES = 768;
const TURN_PER_PX = 0.008; // radians
const TURN_PER_KEY = Math.PI / 24;
const ZOOM_PER_STEP = 1.15;
const NEAREST = 12;
const FARTHEST = 0.4;
const PERSPECTIVE = 0.22; // share by which a point one radius nearer is larger
const BACKGROUND = [0.86, 0.865, 0.87];

/** Decode the binary of points. Throws Error if it is none. */
function decodeCloud(buffer) {
  const view = new DataView(buffer);
  const isCloud = buffer.byteLength >= HEAD_BYTES && view.getUint32(0, false) === 0x434d5031;
  const count = isCloud ? view.getUint32(4, true) : 0;
  if (!isCloud || buffer.byteLength !== HEAD_BYTES + PALETTE_BYTES + 11 * count) throw new Error("no cloud of points");
  const start = HEAD_BYTES + PALETTE_BYTES;
  const bytes = (offset, length) => new Uint8Array(buffer, start + offset, length);
  return {
    count,
    palette: new Uint8Array(buffer, HEAD_BYTES, PALETTE_BYTES),
    xyz: new Int16Array(buffer.slice(start, start + 6 * count)),
    rgb: bytes(6 * count, 3 * count),
    heat: bytes(9 * count, count),
    part: bytes(10 * count, count),
  };
}

/** Place the points around the part's middle in a ball of radius 1: x right, y up, z to the viewer. */
function placePoints(cloud) {
  const sample = [];
  for (let i = 0; i < cloud.count; i++) if (cloud.part[i]) sample.push(i);
  if (!sample.length) for (let i = 0; i < cloud.count; i++) sample.push(i);
  const middle = [0, 1, 2].map((axis) => {
    const values = sample.map((i) => cloud.xyz[3 * i + axis]).sort((a, b) => a - b);
    return (values[Math.floor(values.length * 0.02)] + values[Math.floor(values.length * 0.98)]) / 2;
  });
  const far = sample.map((i) => Math.hypot(...middle.map((m, axis) => cloud.xyz[3 * i + axis] - m)));
  const radius = Math.max(far.sort((a, b) => a - b)[Math.floor(far.length * 0.98)], 1);
  const placed = new Float32Array(3 * cloud.count);
  for (let i = 0; i < cloud.count; i++) {
    for (let axis = 0; axis < 3; axis++) {
      const sign = axis === 0 ? 1 : -1; // rows go down, z goes away from the sensor
      placed[3 * i + axis] = (sign * (cloud.xyz[3 * i + axis] - middle[axis])) / radius;
    }
  }
  return { placed, spacing: Math.sqrt(3 / Math.max(sample.length, 1)) };
}

/** The colours of a mode: "psi" (heat over the pale picture), "heat" (the scale alone) or "picture". */
function colourPoints(cloud, mode) {
  const colours = new Uint8Array(3 * cloud.count);
  for (let i = 0; i < cloud.count; i++) {
    const share = cloud.heat[i] / 255; // 0.5 is the threshold
    const opacity = mode === "heat" ? 1 : mode === "psi" ? 0.9 * Math.min(Math.max(4 * share - 1, 0), 1) : 0;
    const grey = (cloud.rgb[3 * i] + cloud.rgb[3 * i + 1] + cloud.rgb[3 * i + 2]) / 3;
    const pale = mode === "picture" ? 0 : 0.55;
    const dim = cloud.part[i] || mode === "picture" ? 1 : 0.8;
    for (let c = 0; c < 3; c++) {
      const seen = dim * ((1 - pale) * cloud.rgb[3 * i + c] + pale * grey);
      colours[3 * i + c] = seen + opacity * (cloud.palette[3 * cloud.heat[i] + c] - seen);
    }
  }
  return colours;
}

/** The rows of the rotation by `view.yaw` about y, then `view.pitch` about x. */
function rotation({ yaw, pitch }) {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return [cy, 0, sy, sp * sy, cp, -sp * cy, -cp * sy, sp, cp * cy];
}

const VERTEX = `
attribute vec3 place; attribute vec3 colour; attribute float part;
uniform vec3 row0; uniform vec3 row1; uniform vec3 row2; uniform vec2 scale; uniform vec2 pan; uniform float size;
uniform float tray; varying vec3 seen;
void main() {
  vec3 p = vec3(dot(row0, place), dot(row1, place), dot(row2, place));
  float w = max(1.0 - ${PERSPECTIVE} * p.z, 0.1);
  gl_Position = part + tray < 0.5 ? vec4(9.0, 9.0, 9.0, 1.0) : vec4(p.xy * scale + pan * w, clamp(-0.1 * p.z, -w, w), w);
  gl_PointSize = size / w;
  seen = colour;
}`;
const FRAGMENT = `precision mediump float; varying vec3 seen; void main() { gl_FragColor = vec4(seen, 1.0); }`;

/** Draws by WebGL. Throws Error where there is none. */
class GlRenderer {
  constructor(canvas, cloud, placed) {
    const gl = canvas.getContext("webgl", { antialias: false, alpha: false });
    if (!gl) throw new Error("no WebGL");
    this.gl = gl;
    this.count = cloud.count;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("WebGL refuses the program");
    gl.useProgram(program);
    this.at = (name) => gl.getUniformLocation(program, name);
    const attach = (name, values, size, type) => {
      const place = gl.getAttribLocation(program, name);
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, type, type === gl.UNSIGNED_BYTE && size === 3, 0, 0);
      return buffer;
    };
    attach("place", placed, 3, gl.FLOAT);
    attach("part", cloud.part, 1, gl.UNSIGNED_BYTE);
    this.colours = attach("colour", new Uint8Array(3 * cloud.count), 3, gl.UNSIGNED_BYTE);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(...BACKGROUND, 1);
  }

  paint(colours) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.colours);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, colours, this.gl.STATIC_DRAW);
  }

  draw({ width, height, radius, pan, size, tray, rows }) {
    const gl = this.gl;
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    [0, 1, 2].forEach((i) => gl.uniform3fv(this.at(`row${i}`), rows.slice(3 * i, 3 * i + 3)));
    gl.uniform2f(this.at("scale"), (2 * radius) / width, (2 * radius) / height);
    gl.uniform2f(this.at("pan"), (2 * pan[0]) / width, (-2 * pan[1]) / height);
    gl.uniform1f(this.at("size"), size);
    gl.uniform1f(this.at("tray"), tray ? 1 : 0);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }
}

/** Draws into a picture of the canvas, with a depth of its own for every pixel. */
class PlainRenderer {
  constructor(canvas, cloud, placed) {
    this.context = canvas.getContext("2d", { alpha: false });
    if (!this.context) throw new Error("no canvas");
    [this.cloud, this.placed] = [cloud, placed];
  }

  paint(colours) {
    this.colours = colours;
  }

  draw({ width, height, radius, pan, size, tray, rows }) {
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.depth = new Float32Array(width * height);
    }
    this.pixels.fill(BACKGROUND.reduce((all, share, c) => all + (Math.round(share * 255) << (8 * c)), 0) + 0xff000000);
    this.depth.fill(-Infinity);
    const p = this.placed;
    for (let i = 0; i < this.cloud.count; i++) {
      if (!tray && !this.cloud.part[i]) continue;
      const [x, y, z] = [p[3 * i], p[3 * i + 1], p[3 * i + 2]];
      const away = rows[6] * x + rows[7] * y + rows[8] * z;
      const w = Math.max(1 - PERSPECTIVE * away, 0.1);
      const side = Math.max(1, Math.round(size / w));
      const left = Math.round(width / 2 + pan[0] + ((rows[0] * x + rows[1] * y + rows[2] * z) * radius) / w - side / 2);
      const top = Math.round(height / 2 + pan[1] - ((rows[3] * x + rows[4] * y + rows[5] * z) * radius) / w - side / 2);
      const c = this.colours;
      const colour = c[3 * i] | (c[3 * i + 1] << 8) | (c[3 * i + 2] << 16) | 0xff000000;
      for (let row = Math.max(top, 0); row < Math.min(top + side, height); row++) {
        for (let col = Math.max(left, 0); col < Math.min(left + side, width); col++) {
          const at = row * width + col;
          if (this.depth[at] >= away) continue;
          this.depth[at] = away;
          this.pixels[at] = colour;
        }
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

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
    this.start(root => new GlRenderer(root, this.cloud, this.placed), "webgl");
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
    Object.assign(this, { yaw: -0.45, pitch: 0.65, zoom: 1, pan: [0, 0] });
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
      const size = Math.max(1.5, 1.15 * this.spacing * radius);
      this.renderer.draw({ width, height, radius, pan, size, tray: this.tray, rows: rotation(this) });
      Object.assign(this.canvas.dataset, { yaw: this.yaw.toFixed(3), pitch: this.pitch.toFixed(3), zoom: this.zoom.toFixed(3) });
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
    root.querySelector("canvas").hidden = true;
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
