// A part's points: the binary of cmfm_protocol/pictures/point_cloud.py, their places, colours and rotation.
"use strict";

const HEAD_BYTES = 28;
const PALETTE_BYTES = 768;

/** Decode the binary of points. Throws Error for anything else. */
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
