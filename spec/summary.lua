--- busted's plain output, and one line at the very end: `N passed, N failed, N skipped`.
return function(options)
  local handler = require("busted.outputHandlers.plainTerminal")(options)
  local busted = require("busted")
  local subscribe = handler.subscribe
  function handler:subscribe(...)
    subscribe(self, ...)
    busted.subscribe({ "exit" }, function()
      print(("%d passed, %d failed, %d skipped"):format(self.successesCount, self.failuresCount + self.errorsCount, self.pendingsCount))
      return nil, true
    end)
  end
  return handler
end
