"""Routes over several bridges: results go first to the target whose run waits for them, wherever it stands."""

import trio

from tests.support import sdk_scripts as sdk
from tests.support.bridge_client import LOOK, Steps
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_contract import error_reply
from tests.support.fake_bridge_steps import Call
from tests.support.gateway_server import gateway_from

ROUTE = '[routes.m]\ntargets = [{upstream = "a", model = "composer-2.5"}, {upstream = "b", model = "composer-2.5"}]\n'
KEYS = {"KA": "key-of-a-0123456789", "KB": "key-of-b-0123456789"}
TOOLS = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}}]
TWICE: Steps = [sdk.system(), Call("read", {"path": "a"}), Call("read", {"path": "b"}), sdk.delta("Done."), *sdk.finish("Done.")]


async def test_the_target_whose_run_waits_goes_first(tmp_path):
    async with fake_bridge(LOOK) as first, fake_bridge(TWICE) as second:
        toml = '[auth]\nmode = "open"\n' + first.table("a", cooldown_seconds=0, api_key_env="KA") + second.table("b", api_key_env="KB") + ROUTE
        async with gateway_from(tmp_path, toml, **KEYS) as server, server.client() as client:
            first.faults["CreateAgent"] = [[error_reply("unavailable", "overloaded")]]
            messages = [{"role": "user", "content": "Look"}]
            for place in range(3):
                answer = await client.post("/v1/chat/completions", json={"model": "m", "messages": messages, "tools": TOOLS})
                assert answer.headers["penstock-target"] == "b/composer-2.5"
                assert "run_replayed" not in answer.headers.get("penstock-notices", "")
                assert ("penstock-attempts" in answer.headers) is (place == 0)
                message = answer.json()["choices"][0]["message"]
                results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in message.get("tool_calls") or []]
                messages = [*messages, message, *results]
                await trio.sleep(0.01)
            assert message["content"] == "Done."
            assert (len(first.agents), len(second.agents)) == (0, 1)
            other = await client.post("/v1/chat/completions", json={"model": "m", "messages": messages[:1], "tools": TOOLS})
            assert other.headers["penstock-target"] == "a/composer-2.5"
