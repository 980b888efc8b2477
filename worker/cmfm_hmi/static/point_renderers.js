// Two ways to draw points: WebGL, and a plain canvas without it.
"use strict";

const PERSPECTIVE = 0.22; // share by which a point one radius nearer is larger
const BACKGROUND = [0.86, 0.865, 0.87];

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

/** Draws by WebGL. Throws Error without it. */
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
