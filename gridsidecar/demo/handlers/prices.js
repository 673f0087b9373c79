// A handler in Node: reads one task, tells how far it is, sends a result.
const send = (event) => console.log(JSON.stringify({ gs: 1, ...event }));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function main() {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const { items } = JSON.parse(input).data;

  let total = 0;
  for (const [index, item] of items.entries()) {
    await sleep(500); // the real work would be here
    total += item.price * item.count;
    const progress = Math.round((100 * (index + 1)) / items.length);
    send({ type: "progress", progress, progress_message: `priced ${item.name}` });
  }
  send({ type: "result", result: { total } });
}

main();
