// What users of openai-node do, one scenario a run; the outcome is one line of JSON on stdout.
//   node openai_node.mjs SCENARIO BASE_URL KEY      (tools work in the current directory)
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'

const [scenario, baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey })
const model = 'composer-2.5'
const asked = (content) => [{ role: 'user', content }]

function runnable(name, description, properties, work) {
  const parameters = { type: 'object', properties, required: Object.keys(properties) }
  return { type: 'function', function: { name, description, parameters, parse: JSON.parse, function: work } }
}

const tools = [
  runnable('read_file', 'Read a file.', { path: { type: 'string' } }, ({ path }) => readFileSync(path, 'utf8')),
  runnable('run', 'Run a shell command.', { command: { type: 'string' } }, ({ command }) => execFileSync('sh', ['-c', command], { encoding: 'utf8' })),
]

const described = (error) => ({ name: error.constructor.name, status: error.status, code: error.code, type: error.type, message: error.message })

async function ran(stream) {
  const runner = client.chat.completions.runTools({ model, stream, tools, messages: asked('Read notes.txt, then count its words.') })
  const results = []
  runner.on('functionToolCallResult', (content) => results.push(content))
  let chunks = 0
  if (stream) runner.on('chunk', () => chunks++)
  const text = await runner.finalContent()
  return { text, results, chunks, roles: runner.messages.map((message) => message.role), usage: await runner.totalUsage() }
}

const scenarios = {
  run_tools: () => ran(false),
  run_tools_streamed: () => ran(true),

  async plain() {
    const { data, response, request_id } = await client.chat.completions
      .create({ model, temperature: 0.2, messages: asked('How many islands?') })
      .withResponse()
    return { text: data.choices[0].message.content, usage: data.usage, ignored: response.headers.get('penstock-ignored'), request_id }
  },

  async stream() {
    const stream = await client.chat.completions.create({
      model, stream: true, stream_options: { include_usage: true }, messages: asked('How many islands?'),
    })
    let [text, chunks, usage, reasons] = ['', 0, null, []]
    for await (const chunk of stream) {
      chunks++
      text += chunk.choices[0]?.delta.content ?? ''
      if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason)
      usage = chunk.usage ?? usage
    }
    return { text, chunks, usage, reasons }
  },

  async helper() {
    const stream = client.chat.completions.stream({ model, tools: tools.map(bare), messages: asked('Read both files.') })
    const done = []
    stream.on('tool_calls.function.arguments.done', ({ name, arguments: text }) => done.push([name, JSON.parse(text)]))
    const message = await stream.finalMessage()
    return { done, calls: message.tool_calls.map((call) => [call.id, call.function.name]), content: message.content }
  },

  async parse() {
    const place = z.object({ name: z.string(), people: z.number().int(), islands: z.array(z.string()) })
    const completion = await client.chat.completions.parse({
      model, messages: asked('Describe the archipelago.'), response_format: zodResponseFormat(place, 'place'),
    })
    return completion.choices[0].message.parsed
  },

  async models() {
    const models = []
    for await (const each of client.models.list()) models.push(each.id)
    return { models, one: (await client.models.retrieve(model)).id }
  },

  async error() {
    try {
      await client.chat.completions.create({ model, messages: asked('Hello') }, { maxRetries: 0 })
    } catch (error) {
      return described(error)
    }
  },

  async failing_stream() {
    const stream = client.chat.completions.stream({ model, tools: tools.map(bare), messages: asked('Tidy up.') })
    const done = []
    stream.on('tool_calls.function.arguments.done', ({ name }) => done.push(name))
    try {
      await stream.finalMessage()
    } catch (error) {
      return { done, error: described(error) }
    }
  },

  async abort() {
    const stream = await client.chat.completions.create({ model, stream: true, messages: asked('Tell me a long story.') })
    let text = ''
    for await (const chunk of stream) {
      text += chunk.choices[0].delta.content ?? ''
      if (text.endsWith('there was')) break
    }
    return { text }
  },
}

function bare({ type, function: { name, description, parameters } }) {
  return { type, function: { name, description, parameters } }
}

console.log(JSON.stringify(await scenarios[scenario]()))
