--- `fluo convert`: the rules of a file, as Lua. What is printed is what the file's own rules run as.
local diagnostic = require("fluo.diagnostic")
local dialect = require("fluo.dialect.file")
local loader = require("fluo.loader")

local M = {}

local function say(errors, out)
  for _, d in ipairs(errors) do out:write(diagnostic.text(d), "\n") end
  return #errors == 0 and 0 or 1
end

-- Only what loads is printed: what is said of it is said of the author's own file.
local function converted(source)
  local texts = {}
  for i, rule in ipairs(dialect.read(source)) do texts[i] = dialect.print(rule) end
  return table.concat(texts, "\n")
end

--- Prints the rules of a file: 0, or 1 when they do not load. out, err: where to (default: stdout, stderr).
function M.run(path, out, err)
  out, err = out or io.stdout, err or io.stderr
  local sources = loader.read(path)
  local main, text
  for _, source in ipairs(sources.files) do
    if not source.module then
      if main then
        err:write("fluo convert: one file at a time\n")
        return 2
      end
      main = source
    end
  end
  if main then text = dialect.kind(main.file) and converted(main) or main.text end
  local status = say(loader.load(sources, {}).errors, err)
  if status == 0 and text then out:write(text) end
  return status
end

return M
