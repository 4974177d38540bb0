"""The tables of the upstreams, a module for each family of kinds; `server.upstream_settings` has them all."""
