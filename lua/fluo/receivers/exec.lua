--- A program, without a shell: the alert is its input, and what most want to know its environment. Exit status 0 is
-- good, 75 is tried again, any other is final. Settings: argv ({ "/usr/bin/notify", "--all" }), timeout (10s).
action "exec" (function(alert, settings)
  local newest = alert.violations and alert.violations[1] or {}
  local env = { PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", FLUO_RECEIVER = alert.receiver,
                FLUO_DELIVERY = alert.id, FLUO_STATUS = alert.status, FLUO_EVENT = alert.event, FLUO_RULE = alert.rule,
                FLUO_SEVERITY = alert.severity, FLUO_SUMMARY = action.cut(alert.summary, 4096),
                FLUO_COUNT = action.render("{count}", alert.incidents[1]), FLUO_INCIDENT = alert.incidents[1].id,
                FLUO_TRACE_ID = newest.trace_id }
  return errand.run { argv = settings.argv, env = env, input = alert.json, timeout = settings.timeout }
end)
