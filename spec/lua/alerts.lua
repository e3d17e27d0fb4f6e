--- An alert as receivers get it, and its resolve.
local cjson = require("cjson")

local M = {}

local TEXT = [[{"version":1,"id":"0123456789abcdef0123456789abcdef","receiver":"r","status":"firing","event":"opened",
 "at":"2026-01-01T00:00:05.000000000Z","group":{"rule":"checkout-slow"},"incidents_total":1,
 "incidents":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","rule":"checkout-slow","severity":"high","status":"open","group":{"service":"checkout"},
  "count":3,"started_at":"2026-01-01T00:00:00.000000000Z","last_seen_at":"2026-01-01T00:00:04.000000000Z","summary":"checkout: POST /pay took 301 ms",
  "labels":{"team.name":"payments"},"violations":[{"id":"0123456789abcdef0123456789abcdef","rule":"checkout-slow","severity":"high","scope":"trace",
   "time":"2026-01-01T00:00:04.000000001Z","trace_id":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","reason":"missing audit.log","value":301,
   "spans":[{"span_id":"cccccccccccccccc","name":"POST /pay","service":"checkout"}],"span_total":1}]}]}]]

function M.firing() return cjson.decode(TEXT) end

function M.resolved()
  local alert = M.firing()
  alert.status, alert.event, alert.id = "resolved", "resolved", alert.id .. ".resolved"
  alert.incidents[1].status, alert.incidents[1].resolved_at = "resolved", "2026-01-01T00:10:00.000000000Z"
  return alert
end

return M
