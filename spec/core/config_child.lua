-- Stands in for the program in `--internal-config` mode: config_spec executes it with an environment of
-- FLUO_* only, so it finds the sources by its own place.
local root = arg[0]:match("^(.*)/spec/core/[^/]*$")
package.path = root .. "/lua/?.lua;" .. root .. "/?.lua"
local argv = {}
for i = 2, #arg do argv[#argv + 1] = arg[i] end
os.exit(require("fluo.config").main(argv))
