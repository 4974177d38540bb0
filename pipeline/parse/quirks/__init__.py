"""The dialects that Cursor speaks, rule by rule, into one Chat Completions body."""
