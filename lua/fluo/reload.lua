--- Loads rule files anew, while others are in force: of a file that does not load the last good version stays, which
-- is its text as it was together with the modules that it saw then; all other changes are taken. What is wrong with
-- the files as they are now is told, as on a first load.
--
-- Files judge each other only by the names of rules. A file that has not changed keeps its names, so it is the one
-- that changed which is at fault. One that goes back to what it was may claim names again that another has taken
-- meanwhile: so loads are repeated, each time with more files as they were, until none fails. In the end that is
-- the rules in force, which do load.
local loader = require("fluo.loader")
local texts = require("fluo.texts")

local M = {}

local function by_file(a, b) return a.file < b.file end

-- Files that could not be read stay as they were, those of a directory that could not be read, all.
local function unreadable(sources, last)
  local failed, kept = {}, {}
  for _, d in ipairs(sources.errors) do failed[d.file] = true end
  for _, source in ipairs(last) do
    if failed[source.file] or failed[source.file:match("^(.*)/[^/]*$") or ""] then kept[source.file] = true end
  end
  return kept
end

local function mark_settled(sources, before, modules)
  for _, source in ipairs(sources.files) do
    local was = before[source.file]
    source.settled = was ~= nil and was.text == source.text and texts.same_modules(was.modules, modules)
  end
end

-- What is loaded now: files as they are, and kept ones as they were. One that is broken and has never been anything
-- else is left out.
local function choose(sources, last, kept)
  local files = {}
  for _, source in ipairs(sources.files) do
    if not kept[source.file] then files[#files + 1] = source end
  end
  for _, source in ipairs(last) do
    if kept[source.file] then files[#files + 1] = source end
  end
  table.sort(files, by_file)
  return { files = files, errors = sources.errors, warnings = sources.warnings }
end

-- Whether a file failed that can still be had as it was, or left out.
local function keep_failed(failed, kept)
  local more = false
  for file in pairs(failed) do
    more = more or not kept[file]
    kept[file] = true
  end
  return more
end

--- sources: what the disk has now (sources.lua); last: what texts.read gave of the rules in force; options as for
-- loader.load, which this is like.
function M.load(sources, last, options)
  local before, kept, modules = {}, unreadable(sources, last), loader.modules(sources)
  for _, source in ipairs(last) do
    before[source.file] = source
    source.settled = true
    if texts.same_modules(source.modules, modules) then source.modules = modules end
  end
  mark_settled(sources, before, modules)
  local wrong = loader.findings()
  local result
  repeat
    result = loader.evaluate(choose(sources, last, kept), modules, options)
    wrong.add(result)
  until not keep_failed(result.failed, kept)
  wrong.put(result)
  return result
end

--- The very rules that last was kept of; the disk is not looked at.
function M.again(last, options)
  return loader.evaluate({ files = last, errors = {}, warnings = {} }, { names = {} }, options)
end

return M
