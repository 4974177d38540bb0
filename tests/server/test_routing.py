"""Which models are listed, and where an id goes."""

from server.settings import Settings
from tests.support.gateway_server import running_server


async def test_an_alias_that_leads_nowhere_is_not_listed_and_breaks_nothing():
    settings = Settings(aliases={"fast": "gpt-99-unknown", "small": "composer-2.5"})
    async with running_server(settings) as server, server.client() as client:
        listed = await client.get("/v1/models")
        page = await client.get("/")
        asked = await client.get("/v1/models/fast")
    assert (listed.status_code, page.status_code, asked.status_code) == (200, 200, 404)
    ids = [model["id"] for model in listed.json()["data"]]
    assert "small" in ids
    assert "fast" not in ids
    assert len(ids) == len(set(ids))
