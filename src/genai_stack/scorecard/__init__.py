"""How good a model is on questions with one right answer, asked through the API: held-out ones of the built-in world,
and a task that is new to it. Stands on the client; knows no screen."""
