// @seven.io/client speaks to a simulator and says as JSON what it was answered.
// Usage: node seven_client.mjs use PACKAGE URL KEY SIGNING_KEY
//        node seven_client.mjs verify PACKAGE SIGNING_KEY <CALLBACKS   (a list of method, url, headers, body)
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

const [task, directory, ...given] = process.argv.slice(2)
const seven = await import(pathToFileURL(join(directory, "dist", "seven-client.js")))

async function use(url, apiKey, signingSecret) {
  // Whatever the client's own address is: nothing leaves this machine.
  const send = globalThis.fetch
  globalThis.fetch = (target, options) => {
    if (!String(target).startsWith(`${url}/`)) throw new Error("the client wants to speak to another host")
    return send(target, options)
  }
  seven.Client.BASE_URL = `${url}/api`
  const client = new seven.Client({ apiKey, signingSecret: signingSecret || undefined })
  const sms = new seven.SmsResource(client)
  const hooks = new seven.HooksResource(client)
  const journal = new seven.JournalResource(client)
  const hook = { eventType: "dlr", requestMethod: "JSON", targetUrl: "https://x.test/a?b=c" }
  const money = () => new seven.BalanceResource(client).get()

  const before = await money()
  const sent = await sms.dispatch({ to: ["4917612121212"], text: "Ačiū & co 😀", from: "Demo" })
  const later = await sms.dispatch({ to: ["4917612121213"], text: "Hi", delay: new Date(2556057600000) })
  const status = await new seven.StatusResource(client).get([Number(sent.messages[0].id)])
  const outbound = await journal.outbound()
  const narrowed = await journal.outbound({ to: "4917612121213", limit: 5 })
  const others = [await journal.inbound(), await journal.voice()]
  const deleted = await sms.delete({ ids: [later.messages[0].id] })
  const added = await hooks.subscribe(hook)
  const listed = await hooks.read()
  const removed = await hooks.unsubscribe(added.id)
  const left = await hooks.read()
  const after = await money()
  return {
    before, sent, later, status, outbound, narrowed, others, deleted, added, listed, removed, left, after,
  }
}

function verify(signingSecret) {
  const verifier = new seven.WebhookVerifier({ signingSecret })
  return Promise.all(JSON.parse(readFileSync(0, "utf8")).map((callback) => verifier.verify(callback)))
}

console.log = () => {} // the client's StatusResource writes what it was answered
process.stdout.write(JSON.stringify(await { use, verify }[task](...given)))
