// Reads one line of JSON after the other and answers each with one:
// {"decode": "<hex>"} -> the payload as sparkplug-payload sees it; {"encode": {…}} -> {"hex": "…"}.
import { createInterface } from "node:readline";
import sparkplug from "sparkplug-payload";

const spB = sparkplug.get("spBv1.0");
const plain = (_key, value) => (typeof value === "bigint" || value?.constructor?.name === "Long" ? value.toString() : value);

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = request.decode !== undefined
    ? spB.decodePayload(Buffer.from(request.decode, "hex"))
    : { hex: Buffer.from(spB.encodePayload(request.encode)).toString("hex") };
  console.log(JSON.stringify(answer, plain));
}
