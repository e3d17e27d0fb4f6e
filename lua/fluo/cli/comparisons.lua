--- `fluo --internal-comparisons RULES RULE`: the numbers that a rule compares with, a line each, for `fluo tune`. A
-- process of its own, for rule files are evaluated in it.
local diagnostic = require("fluo.diagnostic")
local loader = require("fluo.loader")
local tune = require("fluo.tune")

local M = {}

local function say(text)
  io.stderr:write("fluo: ", text, "\n")
  return 1
end

local function print_all(list, key)
  for i, c in ipairs(list) do
    io.write(("%d\t%s\t%.17g\t%s\t%d\t%s\t%s\t%s\t%s\n"):format(i, c.compare, c.value, c.unit, c.whole and 1 or 0,
      c.least and ("%.17g"):format(c.least) or "", c.most and ("%.17g"):format(c.most) or "", key, c.what))
  end
end

--- argv: the program, the word that it was called by, the path, the rule.
function M.main(argv)
  local path, name, names, found, key = argv[3], argv[4], {}, nil, nil
  local function choose(rule)
    names[#names + 1] = rule.name
    if rule.name == name then
      found, key = tune.comparisons(rule), rule.across and "group" or "trace"
    end
    return nil
  end
  local result = loader.load(loader.read(path), { choose = choose, keep = true })
  for _, d in ipairs(result.errors) do io.stderr:write(diagnostic.text(d), "\n") end
  if #result.errors > 0 then return say(path .. ": the rules did not load") end
  local nothing = tune.missing(name, names)
  if nothing then return say(nothing) end
  if #found == 0 then
    return say(("rule `%s` compares no number: no window, count or duration, nor an attribute by gt, ge, lt or le")
      :format(name))
  end
  print_all(found, key)
  return 0
end

return M
