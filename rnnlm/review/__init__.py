"""The report page of a trained model.

Each module makes a part of the page:

passages    where the model is surprised (predicts badly), character by character
embeddings  which tokens the model treats as similar
curves      how the model learned
by_document the model compared with an n-gram model, document by document
writing     what the model writes at several temperatures
markup      the HTML frame, the style sheet, and small elements of the page
page        the whole page in one HTML file
result      what the review is, for those who only show it; it imports no torch
"""
