// BullMQ on Redis, like its documentation. bench/jobs.py describes the commands.
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const [, , command, url, ...numbers] = process.argv;
const [count, rate] = numbers.map(Number);
const connect = () => new Redis(url, { maxRetriesPerRequest: null });
const jobOptions = { removeOnComplete: { count: 1000 } };
const print = (line) => console.log(JSON.stringify(line));

if (command === "work") {
  const waits = [];
  let first = 0;
  const worker = new Worker("bench", async (job) => {
    const now = Date.now();
    first ||= now;
    waits.push((now - job.data.at) / 1000);
  }, { connection: connect(), concurrency: Number(process.env.CONCURRENCY), ...jobOptions });
  worker.on("completed", () => {
    if (waits.length === count) {
      const report = JSON.stringify({ began: first / 1000, ended: Date.now() / 1000, waits });
      process.stdout.write(`${report}\n`, () => process.exit(0));
    }
  });
  await worker.waitUntilReady();
  print("ready");
} else {
  const queue = new Queue("bench", { connection: connect(), defaultJobOptions: jobOptions });
  await queue.waitUntilReady();
  print({ began: Date.now() / 1000 });
  if (command === "fill") {
    for (let done = 0; done < count; done += 1000) {
      const size = Math.min(1000, count - done);
      await queue.addBulk(Array.from({ length: size }, () => ({ name: "noop", data: { at: Date.now() } })));
    }
  } else if (command === "produce") {
    const one = async () => {
      for (let number = 0; number < count / 32; number++) await queue.add("noop", { at: Date.now() });
    };
    await Promise.all(Array.from({ length: 32 }, one));
  } else {
    const began = Date.now();
    const sent = [];
    for (let number = 0; number < count; number++) {
      const wait = began + (number * 1000) / rate - Date.now();
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      sent.push(queue.add("noop", { at: Date.now() }));
    }
    await Promise.all(sent);
  }
  process.exit(0);
}
