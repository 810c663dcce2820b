// OpenAI's client for Node, unchanged: does everything once, and prints what came as JSON.
// Arguments: a picture as base64.
const OpenAI = require("openai");

const base = { baseURL: process.env.RUSHES_URL + "/v1", maxRetries: 0 };
const client = new OpenAI({ ...base, apiKey: process.env.RUSHES_API_TOKEN });
const rushes = { resolution: "360p", frames: 49, seed: 7 };

async function poll(asked) {
  let video = await asked;
  while (!["completed", "failed"].includes(video.status)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    video = await client.videos.retrieve(video.id);
  }
  return video;
}

async function download(id, query) {
  const content = await client.videos.downloadContent(id, query);
  return Buffer.from(await content.arrayBuffer()).toString("base64");
}

async function all(page) {
  const ids = [];
  for await (const one of page) ids.push(one.id);
  return ids;
}

async function refusal(asked) {
  const error = await asked.catch((error) => error);
  return [error.constructor.name, error.code];
}

async function main() {
  const file = await OpenAI.toFile(Buffer.from(process.argv[2], "base64"), "first.png");
  const first = await poll(client.videos.create({ prompt: "a fox", seconds: "2", size: "640x360" }));
  const source = { id: first.id };
  const pictured = await poll(
    client.videos.create({ prompt: "it runs", input_reference: file, rushes }),
  );
  const remixed = await poll(client.videos.remix(first.id, { prompt: "a blue fox" }));
  const edited = await poll(client.videos.edit({ video: source, prompt: "a green fox" }));
  const extended = await poll(client.videos.extend({ video: source, prompt: "on", seconds: "2" }));
  const image = await client.images.generate({ prompt: "a fox", response_format: "b64_json" });
  const moderation = await client.moderations.create({ input: "a fox" });
  const found = {
    made: [first, pictured, remixed, edited, extended],
    listed: await all(client.videos.list({ limit: 2 })),
    models: await all(client.models.list()),
    flagged: moderation.results[0].flagged,
    image: image.data[0].b64_json,
    clip: await download(first.id),
    sheet: await download(first.id, { variant: "spritesheet" }),
    deleted: await client.videos.delete(remixed.id),
    refused: [
      await refusal(client.videos.retrieve(remixed.id)),
      await refusal(new OpenAI({ ...base, apiKey: "rsh_wrong" }).videos.list()),
      await refusal(client.videos.create({ prompt: "a", rushes: { camra: "pan left" } })),
    ],
  };
  process.stdout.write(JSON.stringify(found));
}

main();
