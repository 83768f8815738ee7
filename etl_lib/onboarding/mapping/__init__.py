"""From a school's sample files to its mapping.

From the bottom up: `samples` reads the files, `content` and `words` say what a column's values and its
name tell, `recognise` finds the template, `meanings` what each column of other files means, `fills`
which entities a file fills, `codes` what its codes mean; `suggest` is the way in and gives a
Suggestion, `write` makes the mapping's text of it.
"""
