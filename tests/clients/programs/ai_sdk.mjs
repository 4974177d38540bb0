// What users of the AI SDK do with an OpenAI-compatible provider, one scenario a run; the outcome is one line of JSON on stdout.
//   node ai_sdk.mjs SCENARIO BASE_URL KEY      (tools work in the current directory)
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateObject, generateText, isStepCount, streamText } from 'ai'

import { described, partsOf, place, stepOf, tools } from './ai_sdk_tools.mjs'

const [scenario, baseURL, apiKey] = process.argv.slice(2)
const provider = createOpenAICompatible({ name: 'penstock', baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true })
const model = provider('composer-2.5')

const scenarios = {
  async tools() {
    const result = streamText({ model, tools, stopWhen: isStepCount(5), prompt: 'Read notes.txt, then count its words.' })
    const parts = await partsOf(result.stream)
    const steps = await result.steps
    return {
      parts,
      text: await result.text,
      steps: steps.map(stepOf),
      usage: steps.map((step) => [step.usage.inputTokens, step.usage.outputTokens]),
    }
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
    const result = streamText({ model, prompt: 'Is 2027 prime?', providerOptions: { penstock: { reasoningEffort: 'high' } } })
    const parts = await partsOf(result.stream)
    return { parts, text: await result.text, reasoning: await result.reasoningText }
  },

  async error() {
    try {
      await generateText({ model, maxRetries: 0, prompt: 'Hello' })
    } catch (error) {
      return described(error)
    }
  },

  async retry() {
    const started = performance.now()
    const result = await generateText({ model, maxRetries: 2, prompt: 'Hello' })
    return { text: result.text, seconds: (performance.now() - started) / 1000 }
  },

  async unknown_model() {
    try {
      await generateText({ model: provider('no-such-model'), maxRetries: 2, prompt: 'Hello' })
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
