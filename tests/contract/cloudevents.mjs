// Sends events with the CloudEvents SDK for JavaScript, and prints what was answered to each request, as JSON.
//
//   node cloudevents.mjs URL binary|structured|batched < EVENTS.json

import { readFileSync } from "node:fs";
import { CloudEvent, Mode, emitterFor, httpTransport } from "cloudevents";

const [url, mode] = process.argv.slice(2);
const events = JSON.parse(readFileSync(0, "utf8")).map((event) => new CloudEvent(event));
const transport = httpTransport(url);

async function send() {
  if (mode === "batched") {
    // The SDK reads batches but has no way to write one: an array of what it makes of each event.
    const headers = { "content-type": "application/cloudevents-batch+json" };
    return [await transport({ headers, body: JSON.stringify(events) })];
  }
  const emit = emitterFor(transport, { mode: Mode[mode.toUpperCase()] });
  const answers = [];
  for (const event of events) answers.push(await emit(event));
  return answers;
}

console.log(JSON.stringify((await send()).map(({ body }) => JSON.parse(body))));
