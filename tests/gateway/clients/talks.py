"""One conversation of three turns, held by every client: a question that needs a tool, its result, and thanks.

Each ``Talk`` says the same things in its client's own words and gives back what came: that is the whole comparison.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from tests.gateway.world import World

NODE = Path(__file__).parents[2] / "clients" / "node"
NAME, DESCRIPTION = "get_weather", "The weather in a city"
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FOUND = "Rain and wind"
# The fakes call a tool where they are told to; the sandbox where the words fit one.
QUESTION = 'What is the weather in "Oslo"? [[tool=get_weather]]'
THANKS = "Thanks [[chunks=2]]"


@dataclass
class Heard:
    """What a client got: the call's arguments, two answers, and (input, output) tokens of each turn."""

    arguments: dict[str, Any] = field(default_factory=dict)
    told: str = ""
    thanked: str = ""
    usage: list[tuple[int, int]] = field(default_factory=list)


Talk = Callable[[World, str, bool], Heard]


def openai_chat(world: World, model: str, stream: bool) -> Heard:
    client, heard = world.openai(), Heard()
    function = {"name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
    tools: Any = [{"type": "function", "function": function}]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def say() -> Any:
        if not stream:
            answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
        else:
            options: Any = {"include_usage": True}
            with client.chat.completions.stream(
                model=model, messages=messages, tools=tools, stream_options=options
            ) as events:
                answer = events.get_final_completion()
        assert answer.usage is not None
        heard.usage.append((answer.usage.prompt_tokens, answer.usage.completion_tokens))
        message: Any = answer.choices[0].message
        said: dict[str, Any] = {"role": "assistant", "content": message.content}
        if message.tool_calls:
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in message.tool_calls
            ]
        messages.append(said)
        return message

    [call] = say().tool_calls
    assert call.function.name == NAME
    heard.arguments = json.loads(call.function.arguments)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": FOUND})
    heard.told = say().content
    messages.append({"role": "user", "content": THANKS})
    heard.thanked = say().content
    return heard


def openai_responses(world: World, model: str, stream: bool, *, stored: bool = False) -> Heard:
    client, heard = world.openai(), Heard()
    tools: Any = [
        {"type": "function", "name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS, "strict": False}
    ]
    items: list[Any] = []
    previous: Any = openai.NOT_GIVEN

    def say(*new: dict[str, Any]) -> Any:
        nonlocal previous
        items.extend(new)
        asked: dict[str, Any] = {
            "model": model,
            "input": list(new) if stored else items,
            "tools": tools,
            "store": stored,
            "previous_response_id": previous,
        }
        if not stream:
            answer: Any = client.responses.create(**asked)
        else:
            with client.responses.stream(**asked) as events:
                answer = events.get_final_response()
        heard.usage.append((answer.usage.input_tokens, answer.usage.output_tokens))
        items.extend(item.model_dump(exclude={"parsed_arguments"}, exclude_none=True) for item in answer.output)
        if stored:
            previous = answer.id
        return answer

    [call] = [item for item in say({"role": "user", "content": QUESTION}).output if item.type == "function_call"]
    assert call.name == NAME
    heard.arguments = json.loads(call.arguments)
    heard.told = say({"type": "function_call_output", "call_id": call.call_id, "output": FOUND}).output_text
    heard.thanked = say({"role": "user", "content": THANKS}).output_text
    return heard


def openai_responses_stored(world: World, model: str, stream: bool) -> Heard:
    """Going on by ``previous_response_id``: each turn sends only what is new."""
    return openai_responses(world, model, stream, stored=True)


@tool(NAME, description=DESCRIPTION)
def get_weather(city: str) -> str:
    return FOUND


def _langchain(world: World, model: str, stream: bool) -> ChatOpenAI:
    options: dict[str, Any] = {"base_url": world.lobby.base_url, "api_key": world.key, "model": model}
    return ChatOpenAI(**options, streaming=stream, stream_usage=True, max_retries=0)


def _usage(message: Any) -> tuple[int, int]:
    return message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]


def langchain(world: World, model: str, stream: bool) -> Heard:
    chat, heard = _langchain(world, model, stream).bind_tools([get_weather]), Heard()
    messages: list[Any] = [HumanMessage(QUESTION)]

    def say() -> AIMessage:
        if stream:
            pieces = [piece for piece in chat.stream(messages) if isinstance(piece, AIMessageChunk)]
            answer: Any = pieces[0]
            for piece in pieces[1:]:
                answer = answer + piece
        else:
            answer = chat.invoke(messages)
        messages.append(answer)
        heard.usage.append(_usage(answer))
        assert isinstance(answer, AIMessage)
        return answer

    [call] = say().tool_calls
    heard.arguments = call["args"]
    messages.append(ToolMessage(FOUND, tool_call_id=call["id"]))
    heard.told = str(say().text)
    messages.append(HumanMessage(THANKS))
    heard.thanked = str(say().text)
    return heard


def langgraph(world: World, model: str, stream: bool) -> Heard:
    """An agent: the graph calls the tool itself, and goes on until there is an answer."""
    chat = _langchain(world, model, stream).bind_tools([get_weather])

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_node("tools", ToolNode([get_weather]))
    graph.add_edge(START, "answer")
    graph.add_conditional_edges("answer", tools_condition)
    graph.add_edge("tools", "answer")
    agent: Any = graph.compile()
    state = agent.invoke({"messages": [HumanMessage(QUESTION)]})
    state = agent.invoke({"messages": [*state["messages"], HumanMessage(THANKS)]})
    said = [message for message in state["messages"] if isinstance(message, AIMessage)]
    assert len(said) == 3
    arguments = said[0].tool_calls[0]["args"]
    return Heard(arguments, str(said[1].text), str(said[2].text), [_usage(message) for message in said])


def _ai_sdk(world: World, model: str, stream: bool, api: str) -> Heard:
    if not (NODE / "node_modules").is_dir():
        reason = "the Vercel AI SDK is not installed (scripts/node-packages.sh)"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(reason)
        pytest.skip(reason)
    asked = {
        "api": api,
        "baseURL": world.lobby.base_url,
        "apiKey": world.key,
        "model": model,
        "stream": stream,
        "tool": {"name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS},
        "question": QUESTION,
        "found": FOUND,
        "thanks": THANKS,
    }
    done = subprocess.run(
        ["node", "conversation.mjs"],
        cwd=NODE,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    heard = json.loads(done.stdout)
    return Heard(heard["arguments"], heard["told"], heard["thanked"], [tuple(each) for each in heard["usage"]])


def ai_sdk_chat(world: World, model: str, stream: bool) -> Heard:
    return _ai_sdk(world, model, stream, "chat")


def ai_sdk_responses(world: World, model: str, stream: bool) -> Heard:
    return _ai_sdk(world, model, stream, "responses")
