// Calls a number: OFFHOOK_KEY=oh_key_... node call.mjs +15550100900
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const CALLS = §url§;
const WISH = §body§;

// What is worth another attempt, and the milliseconds after which there is none.
const LATER = new Set([408, 429, 502, 503, 504]);
const PATIENCE_MS = 60_000;

const key = process.env.OFFHOOK_KEY;
const to = process.argv[2] ?? "";
if (!key) fail("OFFHOOK_KEY must be an API key that may place calls");
if (!/^\+[1-9][0-9]{6,14}$/.test(to)) fail("Whom to call, in E.164: node call.mjs +15550100900");

const request = {
  method: "POST",
  body: JSON.stringify({ ...WISH, to }),
  headers: {
    "Authorization": `Bearer ${key}`,
    // New for each run, the same for its attempts: repeated, the request rings nobody twice.
    "Idempotency-Key": randomUUID(),
    "Content-Type": "application/json",
  },
};
const giveUp = Date.now() + PATIENCE_MS;
for (let pause = 1_000; ; pause *= 2) {
  let answer, said;
  try {
    answer = await fetch(CALLS, { ...request, signal: AbortSignal.timeout(30_000) });
    said = await answer.text();
  } catch (error) {
    fail(`no answer: ${error.cause?.message ?? error.message}`);
  }
  if (answer.ok) {
    console.log(said);
    break;
  }
  const after = answer.headers.get("Retry-After") ?? "";
  const wait = /^[0-9]+$/.test(after) ? Number(after) * 1_000 : pause;
  if (!LATER.has(answer.status) || Date.now() + wait > giveUp) fail(`HTTP ${answer.status}: ${said}`);
  await sleep(wait);
}

function fail(why) {
  console.error(why);
  process.exit(1);
}
