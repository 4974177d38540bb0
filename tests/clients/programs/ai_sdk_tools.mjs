// What the programs with the AI SDK share: two tools that work in the current directory, the shape of an answer, and how outcomes are told.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import { APICallError, RetryError, tool } from 'ai'
import { z } from 'zod'

export const tools = {
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

export const place = z.object({ name: z.string(), people: z.number().int(), islands: z.array(z.string()) })

// the types of the parts of a stream, neighbours of one type as one; each part goes to `look` too
export async function partsOf(stream, look = () => {}) {
  const parts = []
  for await (const part of stream) {
    if (part.type !== parts.at(-1)) parts.push(part.type)
    look(part)
  }
  return parts
}

export function stepOf(step) {
  return {
    text: step.text,
    reason: step.finishReason,
    calls: step.toolCalls.map((call) => ({ name: call.toolName, input: call.input })),
    results: step.toolResults.map((result) => result.output),
  }
}

export function described(error) {
  const tries = RetryError.isInstance(error) ? error.errors.length : 1
  const last = RetryError.isInstance(error) ? error.lastError : error
  if (!APICallError.isInstance(last)) return { name: last?.name ?? typeof last, message: last?.message ?? JSON.stringify(last), tries }
  return { name: last.name, status: last.statusCode, message: last.message, retryable: last.isRetryable, tries }
}
