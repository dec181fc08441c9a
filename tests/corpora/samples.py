"""Small texts with the defects that real texts have."""

VERSION_7 = """---------- Recipe via Meal-Master (tm) v7.04

      Title: Beet Soup
 Categories: Soups, Russian
   Servings:  8

  2 1/2 lb Beef rump, sirloin tip, OR          3    Potatoes, cut
           Round bone chuck                         Into eighths
      1 c  Navy beans, dry                          Salt
                                               1 cn (1 lb 13 oz) tomatoes

-----------------------------------GRAVY-----------------------------------
      5 tb Flour

  Cover beans with water and allow to soak overnight; cook until tender;
  drain; set aside.

  Serve hot.

-----
"""

VERSION_8 = """MMMMM----- Recipe via Meal-Master (tm) v8.05

      Title: Bread
 Categories: None
      Yield: 6 servings

MMMMM---------------------------DOUGH--------------------------------
      2 c  Flour, sifted twice and
           -set aside until needed
      1 pn Salt

  Knead and bake.

MMMMM
"""

MARKDOWN = """---
title: "Spaghetti aglio e olio"
tags: ['italian', 'pasta']
---

One of the simplest dishes.

- 🍳 Cook time: 15 min
- 🍽️ Servings: 4

## Ingredients

- 1 pound (500g) spaghetti
- 5-6 cloves of garlic

### Sauce

- ½ cup **olive** oil

## Directions

1. Start [cooking the pasta](/pasta).
2. Mix.

## Notes

Nobody needs this.
"""
