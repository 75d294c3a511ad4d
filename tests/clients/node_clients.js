// ioredis and node-redis: node node_clients.js LIBRARY WRITER_PORT READER_PORT
"use strict";
const assert = require("assert");
const readline = require("readline");

const [library, writer, reader] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const say = (line) => process.stdout.write(line + "\n");
const ok = (step) => say("ok " + step);
const line = () => new Promise((done) => readline.createInterface({ input: process.stdin }).once("line", done));

async function until(what, condition) {
  for (const end = Date.now() + 10000; !(await condition()); await sleep(10)) assert(Date.now() < end, what);
}

async function ioredis() {
  const Redis = require("ioredis");
  const open = (port) => new Redis({ port, connectionName: "ioredis" });
  const [w, r, other] = [open(writer), open(reader), open(writer)];
  assert.equal(await w.ping(), "PONG");
  assert.equal(await r.client("GETNAME"), "ioredis");
  ok("connect");
  await w.set(Buffer.from("bin\0\xff", "latin1"), Buffer.from("\r\n\0"));
  assert.deepEqual(await r.getBuffer(Buffer.from("bin\0\xff", "latin1")), Buffer.from("\r\n\0"));
  assert.equal(await w.set("once", 1, "NX"), "OK");
  assert.equal(await w.set("once", 2, "NX"), null);
  assert.equal(await w.incrby("n", 5), 5);
  assert.deepEqual(await r.mget("n", "none"), ["5", null]);
  await assert.rejects(() => r.set("a", 1), /READONLY/);
  ok("strings");
  const p = w.pipeline();
  for (let i = 0; i < 1000; i++) p.set("key:" + i, i).get("key:" + i);
  assert((await p.exec()).every(([e, v], i) => !e && v === (i % 2 ? String((i - 1) / 2) : "OK")));
  ok("pipeline");
  await w.watch("balance");
  await other.set("balance", 10);
  assert.equal(await w.multi().set("balance", 1).exec(), null);
  await w.watch("balance");
  assert.deepEqual(await w.multi().incr("balance").exec(), [[null, 11]]);
  ok("transaction");
  for (const port of [writer, reader]) {
    const s = open(port);
    const got = [];
    s.on("message", (channel, text) => got.push(channel + text));
    s.on("pmessage", (pattern, channel, text) => got.push(pattern + channel + text));
    await s.subscribe("news");
    await s.psubscribe("n?ws");
    await w.publish("news", "hello");
    await until("messages", () => got.length === 2);
    assert.deepEqual(got.sort(), ["n?wsnewshello", "newshello"]);
    s.disconnect();
  }
  ok("pubsub");
  const found = new Set();
  for await (const keys of r.scanStream({ match: "key:*", count: 100 })) keys.forEach((k) => found.add(k));
  assert.equal(found.size, 1000);
  ok("scan");
  say("skip tracking ioredis has no client-side cache");
  for (const c of [w, r, other]) c.on("error", () => {});
  await w.set("before", "kill");
  say("kill");
  await line();
  assert.equal(await w.get("before"), "kill");
  await w.set("after", "kill");
  assert.equal(await r.get("after"), "kill");
  ok("reconnect");
  for (const c of [w, r, other]) c.disconnect();
}

async function nodeRedis() {
  const { createClient } = require("redis");
  const open = async (port, more) => {
    const c = createClient({ socket: { port, reconnectStrategy: () => 50 }, RESP: 3, name: "node-redis", ...more });
    c.on("error", () => {});
    return c.connect();
  };
  const [w, r, other] = [await open(writer), await open(reader), await open(writer)];
  assert.equal(await w.ping(), "PONG");
  assert.equal(await r.clientGetName(), "node-redis");
  ok("connect");
  assert.equal(await w.set("text", "\r\n\0"), "OK");
  assert.equal(await r.get("text"), "\r\n\0");
  assert.equal(await w.set("once", "1", { NX: true }), "OK");
  assert.equal(await w.set("once", "2", { NX: true }), null);
  assert.equal(await w.incrBy("n", 5), 5);
  assert.deepEqual(await r.mGet(["n", "none"]), ["5", null]);
  await assert.rejects(() => r.set("a", "1"), /READONLY/);
  ok("strings");
  const all = [];
  for (let i = 0; i < 1000; i++) all.push(w.set("key:" + i, String(i)), w.get("key:" + i));
  assert((await Promise.all(all)).every((v, i) => v === (i % 2 ? String((i - 1) / 2) : "OK")));
  ok("pipeline");
  await w.watch("balance");
  await other.set("balance", "10");
  await assert.rejects(() => w.multi().set("balance", "1").exec(), /watched/i);
  await w.watch("balance");
  assert.deepEqual(await w.multi().incr("balance").exec(), [11]);
  ok("transaction");
  for (const port of [writer, reader]) {
    const s = await open(port);
    const got = [];
    await s.subscribe("news", (text, channel) => got.push(channel + text));
    await s.pSubscribe("n?ws", (text, channel) => got.push("p" + channel + text));
    await w.publish("news", "hello");
    await until("messages", () => got.length === 2);
    assert.deepEqual(got.sort(), ["newshello", "pnewshello"]);
    s.destroy();
  }
  ok("pubsub");
  const found = new Set();
  for await (const keys of r.scanIterator({ MATCH: "key:*", COUNT: 100 })) for (const k of keys) found.add(k);
  assert.equal(found.size, 1000);
  ok("scan");
  for (const port of [writer, reader]) {
    const c = await open(port, { clientSideCache: { ttl: 0, maxEntries: 100 } });
    await w.set("cached", "old");
    assert.equal(await c.get("cached"), "old");
    assert.equal(await c.get("cached"), "old");
    await w.set("cached", "new");
    await until("the cached value stays", async () => (await c.get("cached")) === "new");
    c.destroy();
  }
  ok("tracking");
  await w.set("before", "kill");
  say("kill");
  await line();
  assert.equal(await w.get("before"), "kill");
  await w.set("after", "kill");
  assert.equal(await r.get("after"), "kill");
  ok("reconnect");
  for (const c of [w, r, other]) c.destroy();
}

({ ioredis, "node-redis": nodeRedis })[library]().then(
  () => process.exit(0),
  (e) => {
    console.error(e);
    process.exit(1);
  },
);
