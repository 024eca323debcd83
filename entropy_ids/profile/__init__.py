"""Learn and judge: what is usual in each slot of the week, and how a minute differs."""
