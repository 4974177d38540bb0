// What users of the AI SDK do with OpenAI's own provider, which speaks Responses; one scenario a run, the outcome is one line of JSON on stdout.
//   node ai_sdk_responses.mjs SCENARIO BASE_URL KEY      (tools work in the current directory)
import { createOpenAI } from '@ai-sdk/openai'
import { generateObject, generateText, isStepCount, streamText } from 'ai'

import { described, partsOf, place, stepOf, tools } from './ai_sdk_tools.mjs'

const [scenario, baseURL, apiKey] = process.argv.slice(2)
const sent = []
const provider = createOpenAI({ baseURL, apiKey, fetch: (url, init) => (sent.push(JSON.parse(init.body)), fetch(url, init)) })
const model = provider('composer-2.5')
const openai = (options) => ({ providerOptions: { openai: options } })

// two questions, the second with the history as the SDK keeps it; `store` decides whether it names the answer before, or says it again
async function twice(options) {
  const messages = [{ role: 'user', content: 'Is 2027 prime?' }]
  const first = await generateText({ model, messages, ...options })
  messages.push(...first.response.messages, { role: 'user', content: 'And 2029?' })
  const second = await generateText({ model, messages, ...options })
  return {
    texts: [first.text, second.text],
    sent: sent.at(-1).input.map((item) => item.type ?? item.role),
    notices: second.response.headers['penstock-notices'] ?? null,
  }
}

const scenarios = {
  async tools() {
    const result = streamText({
      model, tools, stopWhen: isStepCount(5), prompt: 'Read notes.txt, then count its words.', ...openai({ store: false }),
    })
    const parts = await partsOf(result.stream)
    const steps = await result.steps
    return { parts, text: await result.text, steps: steps.map(stepOf), usage: steps.map((step) => [step.usage.inputTokens, step.usage.outputTokens]) }
  },

  async generate() {
    const result = await generateText({ model, temperature: 0.2, prompt: 'How many islands?' })
    return { text: result.text, reason: result.finishReason, usage: result.usage, headers: result.response.headers, id: result.response.id }
  },

  async object() {
    const result = await generateObject({ model, schema: place, prompt: 'Describe the archipelago.' })
    return { object: result.object, reason: result.finishReason }
  },

  async reasoning() {
    const result = streamText({ model, prompt: 'Is 2027 prime?', ...openai({ reasoningEffort: 'high', reasoningSummary: 'auto', forceReasoning: true }) })
    const parts = await partsOf(result.stream)
    return { parts, text: await result.text, reasoning: await result.reasoningText }
  },

  stored: () => twice(openai({ store: true })),
  not_stored: () => twice(openai({ store: false })),
  async unsaid() {
    try {
      return await twice({})
    } catch (error) {
      return described(error)
    }
  },

  async previous() {
    const first = await generateText({ model, prompt: 'Is 2027 prime?', ...openai({ store: true }) })
    const { responseId } = first.providerMetadata.openai
    const second = await generateText({ model, prompt: 'And 2029?', ...openai({ previousResponseId: responseId }) })
    return { texts: [first.text, second.text], sent: sent.at(-1).input.map((item) => item.type ?? item.role) }
  },

  async error() {
    try {
      await generateText({ model, maxRetries: 0, prompt: 'Hello' })
    } catch (error) {
      return described(error)
    }
  },

  async failing_stream() {
    const seen = { text: '', ran: [], errors: [] }
    const watched = { run: { ...tools.run, execute: ({ command }) => seen.ran.push(command) } }
    const result = streamText({ model, tools: watched, maxRetries: 0, prompt: 'Tidy up.', onError: () => {} })
    const parts = await partsOf(result.stream, (part) => {
      if (part.type === 'text-delta') seen.text += part.text
      if (part.type === 'error') seen.errors.push(described(part.error))
    })
    return { ...seen, parts }
  },

  async abort() {
    const stopping = new AbortController()
    const result = streamText({ model, abortSignal: stopping.signal, prompt: 'Tell me a long story.', onError: () => {} })
    let text = ''
    const parts = await partsOf(result.stream, (part) => {
      if (part.type === 'text-delta') text += part.text
      if (text.endsWith('there was')) stopping.abort()
    })
    return { parts, text }
  },
}

console.log(JSON.stringify(await scenarios[scenario]()))
