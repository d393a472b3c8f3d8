// What the Studio web application does with a source: connect, ping, dump, follow the command, read the source's page.
// Arguments: the hub's url (with its token), the folder of node_modules. Prints one JSON object.
const [url, modules] = process.argv.slice(2)
const SockJS = require(require.resolve('sockjs-client', { paths: [modules] }))

const seen = { messages: [] }
let waiting = []

// Resolves with the first message, from now on, for which `wanted` is true.
const next = (wanted) => new Promise((resolve) => waiting.push({ wanted, resolve }))

const ask = async (method, path, body) => {
  const answer = await fetch(url + path, {
    method,
    headers: { 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body)
  })
  const found = await answer.json()
  if (found.status !== 'ok') throw new Error(JSON.stringify(found))
  return found.result
}

async function main () {
  const root = await ask('GET', '')
  const socket = new SockJS(url + '/ws?token=')
  socket.onmessage = (event) => {
    seen.messages.push(event.data)
    waiting = waiting.filter(({ wanted, resolve }) => !wanted(event.data) || resolve(event.data))
  }
  const closed = new Promise((resolve) => { socket.onclose = resolve })
  await new Promise((resolve) => { socket.onopen = resolve })
  const { transport } = socket
  const pong = next((message) => message.op === 'pong')
  socket.send(JSON.stringify({ op: 'ping' }))
  await pong

  let changed = next((message) => message.obj === 'command')
  const launched = await ask('PUT', '/source/mvcgi/dump', { force: true })
  let command
  do {
    await changed
    changed = next((message) => message.obj === 'command' && message._id === launched.id)
    command = await ask('GET', `/command/${launched.id}`)
  } while (!command.is_done)
  const source = await ask('GET', '/source/mvcgi')
  const changes = seen.messages.filter((message) => message.obj)
  socket.send('this is no JSON')
  const end = await closed
  console.log(JSON.stringify({
    root, launched, command, source, changes, transport, end: { code: end.code, reason: end.reason },
    last: seen.messages.at(-1)
  }))
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
