#!/usr/bin/luajit
-- Stands in for the program in `--internal-config` mode: config_spec executes it with an environment of
-- FLUO_* only, so it finds the sources by its own place.
local root = arg[0]:match("^(.*)/spec/core/[^/]*$")
package.path = root .. "/lua/?.lua;" .. root .. "/?.lua"
os.exit(require("fluo.config").main({ arg[0], unpack(arg) }))
