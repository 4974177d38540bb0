// What users of the AI SDK do with an OpenAI-compatible provider, one scenario a run; the outcome is one line of JSON on stdout.
//   node ai_sdk.mjs SCENARIO BASE_URL KEY      (tools work in the current directory)
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateObject, generateText, isStepCount, RetryError, streamText, tool } from 'ai'
import { z } from 'zod'

const [scenario, baseURL, apiKey] = process.argv.slice(2)
const provider = createOpenAICompatible({ name: 'penstock', baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true })
const model = provider('composer-2.5')

const tools = {
  read_file: tool({
    description: 'Read a file.',
    inputSchema: z.object({ path: z.string() }),
    execute: ({ path }) => readFileSync(path, 'utf8'),
  }),
  run: tool({
    description: 'Run a shell command.',
    inputSchema: z.object({ command: z.string(), timeout: z.number().int().optional() }),
    execute: ({ command }) => execFileSync('sh', ['-c', command], { encoding: 'utf8' }),
  }),
}
const place = z.object({ name: z.string(), people: z.number().int(), islands: z.array(z.string()) })

function described(error) {
  const tries = RetryError.isInstance(error) ? error.errors.length : 1
  const last = RetryError.isInstance(error) ? error.lastError : error
  if (!APICallError.isInstance(last)) return { name: last?.name ?? typeof last, message: last?.message ?? JSON.stringify(last), tries }
  return { name: last.name, status: last.statusCode, message: last.message, retryable: last.isRetryable, tries }
}

const scenarios = {
  async tools() {
    const result = streamText({ model, tools, stopWhen: isStepCount(5), prompt: 'Read notes.txt, then count its words.' })
    const parts = []
    for await (const part of result.stream) if (part.type !== parts.at(-1)) parts.push(part.type)
    const steps = await result.steps
    return {
      parts,
      text: await result.text,
      steps: steps.map((step) => ({
        text: step.text,
        reason: step.finishReason,
        calls: step.toolCalls.map((call) => ({ name: call.toolName, input: call.input })),
        results: step.toolResults.map((result) => result.output),
      })),
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
    const parts = []
    for await (const part of result.stream) if (part.type !== parts.at(-1)) parts.push(part.type)
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
    const seen = { parts: [], text: '', ran: [], errors: [] }
    const watched = { run: { ...tools.run, execute: ({ command }) => seen.ran.push(command) } }
    const result = streamText({ model, tools: watched, maxRetries: 0, prompt: 'Tidy up.', onError: () => {} })
    for await (const part of result.stream) {
      if (part.type !== seen.parts.at(-1)) seen.parts.push(part.type)
      if (part.type === 'text-delta') seen.text += part.text
      if (part.type === 'error') seen.errors.push(described(part.error))
    }
    return seen
  },

  async abort() {
    const stopping = new AbortController()
    const result = streamText({ model, abortSignal: stopping.signal, prompt: 'Tell me a long story.', onError: () => {} })
    let text = ''
    const parts = []
    for await (const part of result.stream) {
      if (part.type !== parts.at(-1)) parts.push(part.type)
      if (part.type === 'text-delta') text += part.text
      if (text.endsWith('there was')) stopping.abort()
    }
    return { parts, text }
  },
}

console.log(JSON.stringify(await scenarios[scenario]()))
