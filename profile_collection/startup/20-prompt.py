"""What a person has at the prompt beyond the plans: banner, usual names and magics, status(), series()."""

from profile_collection.session.prompt import prompt_names

globals().update(prompt_names(session))
