// A Node handler that a test can follow: doubles `data.n`.
const fs = require("fs");

const task = JSON.parse(fs.readFileSync(0, "utf8"));
const note = (word) =>
  fs.appendFileSync(
    process.env.JOURNAL,
    `${word} ${task.task_id} ${task.run.attempt} ${process.pid} ${(Date.now() / 1000).toFixed(6)}\n`,
  );

note("start");
console.log("words for the log");
console.log(JSON.stringify({ gs: 1, type: "result", result: { by: "node", n: task.data.n * 2 } }));
note("end");
