std = "luajit"
max_line_length = 120
exclude_files = { "build/**", "**/node_modules/**", "spec/fixtures/**" }
-- What a rule file sees (lua/fluo/sandbox.lua).
files["rules"] = { read_globals = { "rule", "trace", "eq", "ne", "gt", "ge", "lt", "le", "between",
  "one_of", "none_of", "contains", "prefix", "suffix", "glob", "matches", "strict", "exists", "missing", "any_of", "all_of",
  "not_", "log", "window", "sequence", "query", "action", "http", "json", "env", "secret" } }
-- What an action sees (lua/fluo/action.lua).
files["lua/fluo/receivers"] = { read_globals = { "action", "http", "json", "errand" } }
-- Specs are tables of cases: a case stays on its line.
files["spec"] = { max_line_length = 240 }
files["rules/*_spec.lua"] = { std = "luajit+busted", read_globals = { "span", "clock", "replay",
  trace = {}, assert = { other_fields = true } } }
files["**/*_spec.lua"] = { std = "luajit+busted", max_line_length = 240 }
