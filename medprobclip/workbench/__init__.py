"""The notebooks: where things lie, headless runs, one page to send."""
