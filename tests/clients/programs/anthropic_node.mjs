// What users of Anthropic's SDK for Node do, one scenario a run; the outcome is one line of JSON on stdout.
//   node anthropic_node.mjs SCENARIO BASE_URL KEY      (tools work in the current directory)
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import Anthropic from '@anthropic-ai/sdk'
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import { z } from 'zod'

const [scenario, baseURL, apiKey] = process.argv.slice(2)
// this client adds the version to the address itself
const client = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ''), apiKey })
const model = 'composer-2.5'
const asked = (content) => ({ model, max_tokens: 2000, messages: [{ role: 'user', content }] })

const tools = [
  betaZodTool({ name: 'read_file', description: 'Read a file.', inputSchema: z.object({ path: z.string() }), run: ({ path }) => readFileSync(path, 'utf8') }),
  betaZodTool({
    name: 'run', description: 'Run a shell command.', inputSchema: z.object({ command: z.string() }),
    run: ({ command }) => execFileSync('sh', ['-c', command], { encoding: 'utf8' }),
  }),
]
const offered = (name, description, parameter, type = 'string') => ({
  name, description, input_schema: { type: 'object', properties: { [parameter]: { type } }, required: [parameter] },
})
const thinking = { type: 'enabled', budget_tokens: 1024 }
const texts = (message) => message.content.map((block) => (block.type === 'text' ? block.text : '')).join('')
const nameless = (message) => message.content.map(({ id, ...block }) => block)
const described = (error) => {
  const told = error.error?.error ?? {}
  return { name: error.constructor.name, status: error.status, type: error.type ?? told.type, code: told.code, message: told.message, request_id: error.requestID }
}
const attempted = async (attempt) => attempt().then(() => null, described)

async function ran(stream) {
  const runner = client.beta.messages.toolRunner({ ...asked('Read notes.txt, then count its words.'), tools, stream })
  const replies = []
  for await (const reply of runner) replies.push(stream ? await reply.finalMessage() : reply)
  return { texts: replies.map(texts), reasons: replies.map((reply) => reply.stop_reason) }
}

const scenarios = {
  runner: () => ran(false),
  runner_streamed: () => ran(true),

  async plain() {
    const { data, response, request_id } = await client.messages
      .create({ ...asked('How many islands?'), metadata: { user_id: 'canary' } })
      .withResponse()
    return { message: data, ignored: response.headers.get('penstock-ignored'), request_id }
  },

  async stream() {
    let [text, pieces, usage, reason] = ['', 0, null, null]
    for await (const event of await client.messages.create({ ...asked('How many islands?'), stream: true })) {
      if (event.type === 'content_block_delta') [text, pieces] = [text + event.delta.text, pieces + 1]
      if (event.type === 'message_delta') [usage, reason] = [event.usage, event.delta.stop_reason]
    }
    return { text, pieces, usage, reason }
  },

  // the same asked twice: streamed with the helper, and whole
  async helper() {
    const body = { ...asked('Read a.txt and look for b.'), thinking, tools: [offered('read_file', 'Read a file.', 'path'), offered('grep', 'Search files.', 'pattern')] }
    const [said, inputs, ended] = [[], [], []]
    const stream = client.messages.stream(body)
    stream.on('text', (piece) => said.push(piece))
    stream.on('inputJson', (piece) => inputs.push(piece))
    stream.on('contentBlock', (block) => ended.push(block.type))
    const final = await stream.finalMessage()
    const whole = await client.messages.create(body)
    return {
      said: said.join(''), inputs: inputs.join(''), ended, streamed: nameless(final), whole: nameless(whole), reasons: [final.stop_reason, whole.stop_reason],
    }
  },

  async parse() {
    const place = z.object({ name: z.string(), people: z.number().int(), islands: z.array(z.string()) })
    const message = await client.messages.parse({ ...asked('Describe the archipelago.'), output_config: { format: zodOutputFormat(place) } })
    return message.parsed_output
  },

  async count() {
    const { input_tokens } = await client.messages.countTokens({ model, messages: asked('Hello').messages, tools: [offered('read_file', 'Read a file.', 'path')] })
    return input_tokens
  },

  async models() {
    const listed = []
    for await (const found of client.models.list({ limit: 1 })) listed.push(found.id)
    return { listed, one: await client.models.retrieve(model), unknown: await attempted(() => client.models.retrieve('no-such-model')) }
  },

  error: () => attempted(() => client.messages.create(asked('Hello'), { maxRetries: 0 })),

  async retry() {
    const started = performance.now()
    const text = texts(await client.messages.create(asked('Hello')))
    return { text, seconds: (performance.now() - started) / 1000 }
  },

  async failing_stream() {
    const stream = client.messages.stream({ ...asked('Tidy up.'), tools: [offered('run', 'Run a shell command.', 'command')] })
    let [said, ended] = ['', []]
    stream.on('text', (piece) => (said += piece))
    stream.on('contentBlock', (block) => ended.push(block.type))
    const error = await attempted(() => stream.finalMessage())
    return { said, ended, error }
  },

  async failing_runner() {
    const runner = client.beta.messages.toolRunner({ ...asked('Tidy up.'), tools, stream: true })
    return {
      error: await attempted(async () => {
        for await (const reply of runner) await reply.finalMessage()
      }),
    }
  },

  async abort() {
    const stream = client.messages.stream(asked('Tell me a long story.'))
    let said = ''
    stream.on('text', (piece) => {
      said += piece
      if (said.endsWith('there was')) stream.abort()
    })
    const error = await stream.done().catch((caught) => caught.constructor.name)
    return { said, error }
  },
}

console.log(JSON.stringify(await scenarios[scenario]()))
