"""HTTP/1.1 as a client speaks it, without httpx: framing, connections, proxies idle ones. `pipeline.upstream.transport` joins them."""
