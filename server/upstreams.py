"""The upstreams of the settings as running objects.

The modules that speak to a network are imported when a setting asks for them, so that the embedded demo starts without an HTTP client.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pipeline.clocks import SILENCE_SECONDS, Timeouts
from pipeline.upstream.base import Upstream
from pipeline.upstream.captured import CapturedUpstream
from server import upstream_settings as tables
from server.settings import Settings

if TYPE_CHECKING:
    from pipeline.upstream.http import Client
    from pipeline.upstream.images import Fetcher
    from pipeline.upstream.openai_http import OpenAIConfig

Config = TypeVar("Config", bound="OpenAIConfig")


@asynccontextmanager
async def open_upstreams(settings: Settings) -> AsyncGenerator[Mapping[str, Upstream], None]:
    """One object for each table `[upstreams.<name>]`; those that speak HTTP share one client, which is closed at the end.

    What an upstream has started of its own, such as a bridge, ends before that.
    """
    async with AsyncExitStack() as stack:
        client: Client | None = None
        fetcher: Fetcher | None = None
        upstreams: dict[str, Upstream] = {}
        for name, table in settings.upstreams.items():
            if isinstance(table, tables.Captured):
                upstreams[name] = _captured(name, table, settings)
                continue
            if client is None:
                from pipeline.upstream.http import open_client

                # a reading that waits is what makes a comment due, so that it waits no longer than those are apart
                silence_seconds = min(SILENCE_SECONDS, settings.cursor.keepalive_seconds)
                client = await stack.enter_async_context(open_client(timeouts_of(settings), silence_seconds=silence_seconds))
            if table.is_sent_images and fetcher is None and settings.images.fetch:
                from pipeline.upstream.guarded_fetch import open_fetcher

                fetcher = await stack.enter_async_context(open_fetcher())
            if isinstance(table, tables.SdkBridge):
                upstreams[name] = await stack.enter_async_context(_sdk_bridge(name, table, client, fetcher, settings))
            else:
                upstreams[name] = _spoken_to(name, table, client, fetcher, settings)
        yield upstreams


def timeouts_of(settings: Settings) -> Timeouts:
    """The clocks in the pipeline's words."""
    return msgspec.convert(msgspec.to_builtins(settings.timeouts), Timeouts)


def _spoken_to(
    name: str,
    table: tables.Composer | tables.Website | tables.OpenAIChat | tables.OpenAIResponses | tables.Anthropic,
    client: "Client",
    fetcher: "Fetcher | None",
    settings: Settings,
) -> Upstream:
    """An upstream that is there by itself."""
    if isinstance(table, tables.Composer):
        return _composer(name, table, client, fetcher, settings)
    if isinstance(table, tables.Website):
        return _website(name, table, client, settings)
    return _anthropic(name, table, client, settings) if isinstance(table, tables.Anthropic) else _openai(name, table, client, settings)


def _captured(name: str, table: tables.Captured, settings: Settings) -> Upstream:
    return CapturedUpstream(name, table.pace_seconds, usage_method=settings.usage.method, max_image_bytes=settings.images.max_bytes)


def _composer(name: str, table: tables.Composer, client: "Client", fetcher: "Fetcher | None", settings: Settings) -> Upstream:
    from pipeline.prompt.window import Overflow
    from pipeline.upstream.composer import ComposerConfig, ComposerUpstream

    config = ComposerConfig(
        base_url=table.base_url,
        endpoint=table.endpoint,
        api_base=table.api_base,
        client_version=table.client_version,
        headers=table.headers,
        credential=table.credential(),
        context_window=table.context_window,
        context_overflow=Overflow(table.context_overflow),
        usage_method=settings.usage.method,
        max_image_bytes=settings.images.max_bytes,
    )
    return ComposerUpstream(name, config, client, fetcher=fetcher)


def _sdk_bridge(
    name: str, table: tables.SdkBridge, client: "Client", fetcher: "Fetcher | None", settings: Settings
) -> AbstractAsyncContextManager[Upstream]:
    from pipeline.prompt.window import Overflow
    from pipeline.upstream.bridge.launch import Launch
    from pipeline.upstream.sdk_bridge import SdkBridgeConfig, open_sdk_bridge

    config = SdkBridgeConfig(
        launch=Launch(command=table.command, environment=table.environment, start_seconds=table.start_seconds),
        credential=table.credential(),
        park_seconds=table.park_seconds,
        gather_seconds=table.gather_seconds,
        max_parked=table.max_parked,
        context_window=table.context_window,
        context_overflow=None if table.context_overflow is None else Overflow(table.context_overflow),
        usage_method=settings.usage.method,
        max_image_bytes=settings.images.max_bytes,
    )
    return open_sdk_bridge(name, config, client, fetcher=fetcher)


def _website(name: str, table: tables.Website, client: "Client", settings: Settings) -> Upstream:
    from pipeline.prompt.window import Overflow
    from pipeline.upstream.website import WebsiteConfig, WebsiteUpstream

    config = WebsiteConfig(
        url=table.url,
        credential=table.credential(),
        headers=table.headers,
        context_window=table.context_window,
        context_overflow=Overflow(table.context_overflow),
        usage_method=settings.usage.method,
    )
    return WebsiteUpstream(name, config, client)


def _anthropic(name: str, table: tables.Anthropic, client: "Client", settings: Settings) -> Upstream:
    from pipeline.prompt.messages_profile import MessagesProfile
    from pipeline.prompt.window import Overflow
    from pipeline.upstream.anthropic import AnthropicConfig, AnthropicUpstream

    config = AnthropicConfig(
        base_url=table.base_url,
        credential=table.credential(),
        profile=msgspec.convert(msgspec.to_builtins(table.profile), MessagesProfile),
        context_window=table.context_window,
        context_overflow=None if table.context_overflow is None else Overflow(table.context_overflow),
        key_header=table.api_key_header,
        headers=table.headers,
        usage_method=settings.usage.method,
    )
    return AnthropicUpstream(name, config, client)


def _openai(name: str, table: tables.OpenAICompatible, client: "Client", settings: Settings) -> Upstream:
    from pipeline.prompt.chat_body import ChatProfile
    from pipeline.prompt.window import Overflow
    from pipeline.upstream.openai_chat import OpenAIChatConfig, OpenAIChatUpstream
    from pipeline.upstream.openai_responses import OpenAIResponsesConfig, OpenAIResponsesUpstream

    def config(kind: type[Config]) -> Config:
        return kind(
            base_url=table.base_url,
            credential=table.credential(),
            profile=msgspec.convert(msgspec.to_builtins(table.profile), ChatProfile),
            context_window=table.context_window,
            context_overflow=None if table.context_overflow is None else Overflow(table.context_overflow),
            key_header=table.api_key_header,
            headers=table.headers,
            usage_method=settings.usage.method,
        )

    if isinstance(table, tables.OpenAIChat):
        return OpenAIChatUpstream(name, config(OpenAIChatConfig), client)
    return OpenAIResponsesUpstream(name, config(OpenAIResponsesConfig), client)
