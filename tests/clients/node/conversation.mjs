// The conversation of tests/gateway/clients/talks.py, held by the Vercel AI SDK: read from stdin, told on stdout.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, streamText, tool } from "ai";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const asked = JSON.parse(Buffer.concat(chunks).toString());

const provider = createOpenAI({ baseURL: asked.baseURL, apiKey: asked.apiKey });
const model = asked.api === "chat" ? provider.chat(asked.model) : provider.responses(asked.model);
const tools = {
  [asked.tool.name]: tool({
    description: asked.tool.description,
    inputSchema: jsonSchema(asked.tool.parameters),
  }),
};
// Nothing is to be remembered between the turns: each carries the whole conversation.
const providerOptions = asked.api === "responses" ? { openai: { store: false } } : {};
const messages = [{ role: "user", content: asked.question }];
const heard = { usage: [] };

async function say() {
  const call = { model, tools, messages, providerOptions, maxRetries: 0 };
  let text, toolCalls, usage, response;
  if (asked.stream) {
    const result = streamText({ ...call, onError: ({ error }) => { throw error; } });
    [text, toolCalls, usage, response] = await Promise.all([result.text, result.toolCalls, result.usage, result.response]);
  } else {
    ({ text, toolCalls, usage, response } = await generateText(call));
  }
  heard.usage.push([usage.inputTokens, usage.outputTokens]);
  messages.push(...response.messages);
  return { text, toolCalls };
}

const [called] = (await say()).toolCalls;
heard.arguments = called.input;
messages.push({
  role: "tool",
  content: [{
    type: "tool-result",
    toolCallId: called.toolCallId,
    toolName: called.toolName,
    output: { type: "text", value: asked.found },
  }],
});
heard.told = (await say()).text;
messages.push({ role: "user", content: asked.thanks });
heard.thanked = (await say()).text;
process.stdout.write(JSON.stringify(heard));
