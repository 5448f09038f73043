"""Where the service runs, who hears of its deploys, and what watches over it."""
