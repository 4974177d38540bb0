// What users of openai-node do with the Responses API, one scenario a run; the outcome is one line of JSON on stdout.
//   node openai_node_responses.mjs SCENARIO BASE_URL KEY      (tools work in the current directory)
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import OpenAI from 'openai'
import { zodTextFormat } from 'openai/helpers/zod'
import { z } from 'zod'

const [scenario, baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey })
const model = 'composer-2.5'

const offered = (name, description, parameter) => ({
  type: 'function', name, description, strict: false,
  parameters: { type: 'object', properties: { [parameter]: { type: 'string' } }, required: [parameter] },
})
const tools = [offered('read_file', 'Read a file.', 'path'), offered('run', 'Run a shell command.', 'command')]
const work = {
  read_file: ({ path }) => readFileSync(path, 'utf8'),
  run: ({ command }) => execFileSync('sh', ['-c', command], { encoding: 'utf8' }),
}
const described = (error) => ({ name: error.constructor.name, status: error.status, code: error.code, type: error.type, message: error.message })

const scenarios = {
  async plain() {
    const { data, response, request_id } = await client.responses.create({ model, temperature: 0.2, input: 'How many islands?' }).withResponse()
    return { text: data.output_text, status: data.status, usage: data.usage, ignored: response.headers.get('penstock-ignored'), request_id }
  },

  // each round is streamed; the output goes back as it is, with the results behind it
  async tools() {
    const input = [{ role: 'user', content: 'Read notes.txt, then count its words.' }]
    const [results, types] = [[], new Set()]
    for (;;) {
      const stream = client.responses.stream({ model, input, tools })
      stream.on('event', (event) => types.add(event.type))
      const response = await stream.finalResponse()
      input.push(...response.output.map(({ parsed_arguments, ...item }) => item))
      const calls = response.output.filter((item) => item.type === 'function_call')
      if (!calls.length) return { text: response.output_text, results, types: [...types].sort() }
      for (const call of calls) {
        results.push(work[call.name](JSON.parse(call.arguments)))
        input.push({ type: 'function_call_output', call_id: call.call_id, output: results.at(-1) })
      }
    }
  },

  async stream() {
    let [text, numbers, usage] = ['', [], null]
    for await (const event of await client.responses.create({ model, stream: true, input: 'How many islands?' })) {
      numbers.push(event.sequence_number)
      if (event.type === 'response.output_text.delta') text += event.delta
      if (event.type === 'response.completed') usage = event.response.usage
    }
    return { text, numbers, usage }
  },

  async parse() {
    const place = z.object({ name: z.string(), people: z.number().int(), islands: z.array(z.string()) })
    const response = await client.responses.parse({ model, input: 'Describe the archipelago.', text: { format: zodTextFormat(place, 'place') } })
    return response.output_parsed
  },

  async stored() {
    const first = await client.responses.create({ model, input: 'Is 2027 prime?', store: true })
    const second = await client.responses.create({ model, input: 'And 2029?', previous_response_id: first.id, store: true })
    const read = await client.responses.retrieve(second.id)
    await client.responses.delete(second.id)
    const gone = await client.responses.retrieve(second.id).catch(described)
    return { texts: [first.output_text, second.output_text, read.output_text], gone }
  },

  async cancel() {
    let [text, id, cancelled] = ['', null, null]
    try {
      for await (const event of await client.responses.create({ model, stream: true, store: true, input: 'Tell me a long story.' })) {
        if (event.type === 'response.created') id = event.response.id
        if (event.type === 'response.output_text.delta') text += event.delta
        if (text.endsWith('there was')) cancelled ??= await client.responses.cancel(id)
      }
    } catch (error) {
      return { text, status: cancelled?.status, ended: described(error), read: (await client.responses.retrieve(id)).status }
    }
  },

  async error() {
    try {
      await client.responses.create({ model, input: 'Hello' }, { maxRetries: 0 })
    } catch (error) {
      return described(error)
    }
  },

  async failing_stream() {
    const stream = client.responses.stream({ model, tools, input: 'Tidy up.' })
    const done = []
    stream.on('response.output_item.done', ({ item }) => done.push(item.type))
    try {
      await stream.finalResponse()
    } catch (error) {
      return { done, error: described(error) }
    }
  },

  async abort() {
    const stream = await client.responses.create({ model, stream: true, input: 'Tell me a long story.' })
    let text = ''
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') text += event.delta
      if (text.endsWith('there was')) break
    }
    return { text }
  },
}

console.log(JSON.stringify(await scenarios[scenario]()))
