"""Nouns that are swapped in for others. Those of the yardsticks' swaps are not among them."""

from __future__ import annotations


def nouns(listed: str) -> tuple[str, ...]:
    """ "cup, wine glass" -> ("cup", "wine glass")."""
    return tuple(listed.split(", "))


FAMILIES = tuple(
    nouns(family)
    for family in (
        "dog, cat, horse, cow, bird, bear, elephant, monkey, rabbit, lion, tiger, giraffe, zebra, "
        "camel, deer, squirrel, duck, chicken, turtle, frog, snake, penguin, wolf, panda, parrot, "
        "fish, dolphin, lizard, llama, bull, swan, peacock, hedgehog",
        "car, bus, train, motorcycle, bicycle, boat, airplane, van, ambulance, fire truck, tank, "
        "submarine, sled, carriage, wagon, forklift, taxi, tram, rocket, bulldozer, kayak, yacht",
        "cup, bottle, bowl, wine glass, vase, bucket, kettle, teapot, jar, pan, pot, pitcher, can",
        "chair, couch, bed, bench, table, stool, hammock, throne, shelf, desk, wardrobe, swing",
        "laptop, tv, cell phone, keyboard, camera, book, newspaper, printer, radio, microphone, "
        "telescope, calculator, envelope, map, clock, mirror",
        "banana, apple, sandwich, pizza, cake, pumpkin, watermelon, bread, cheese, egg, lemon, "
        "sausage, salad, pancake, corn, lobster, pineapple",
        "ball, frisbee, skateboard, surfboard, kite, bat, stick, hammer, shovel, axe, rope, flag, "
        "racket, paddle, net, whip, torch, bow, dumbbell, boomerang, rifle, fishing rod",
        "shirt, jacket, dress, coat, sweater, robe, tuxedo, kimono, wetsuit, bikini, cape, gown, "
        "overalls, hoodie, poncho",
        "hat, helmet, cap, hood, bandanna, headband, headphones, sombrero, veil, beanie",
        "jeans, shorts, skirt, pajamas, tights, diaper",
        "guitar, drum, piano, violin, trumpet, flute, saxophone, accordion, harp, cello, banjo",
        "backpack, umbrella, handbag, suitcase, briefcase, box, crate, barrel, cooler, stroller, "
        "wheelbarrow, shopping cart, trash can",
        "tree, fence, rock, bush, cactus, fountain, haystack, pillar, chimney, windmill, igloo, "
        "gravestone, billboard, barn, bridge, castle, log",
        "beach, street, field, forest, mountain, office, classroom, gym, church, library, subway, "
        "hospital, cave, jungle, stadium, museum, supermarket, swimming pool, bathroom, garage",
        "water, grass, snow, sand, mud, gravel, marble, hay, foam, gold, ash, concrete, cotton",
    )
)
"""Nouns of like things."""
ROLES = frozenset(
    nouns(
        "soldier, chef, nurse, firefighter, cowboy, ballerina, astronaut, pirate, king, princess, "
        "mermaid, wizard, robot, mannequin, surgeon, waiter, priest, samurai, ninja, vampire, "
        "knight, witch, judge, boxer, wrestler, cheerleader, mechanic, jockey, magician, butcher"
    )
)
"""People who look like nobody else."""
SAID_OTHERWISE = {
    "cat": {"kitten", "animal"},
    "bicycle": {"bike", "cyclist", "bicyclist", "biker"},
    "motorcycle": {"motorbike", "bike", "biker", "scooter"},
    "car": {"vehicle", "cars", "traffic"},
    "couch": {"sofa", "chair"},
    "table": {"desk", "counter"},
    "coat": {"jacket", "suit"},
    "jacket": {"coat", "suit", "vest"},
    "shirt": {"top", "uniform", "jersey", "t-shirt", "tank", "blouse"},
    "sweater": {"shirt", "sweatshirt", "jacket"},
    "cap": {"hat", "visor"},
    "hat": {"cap", "helmet", "hood", "visor"},
    "tree": {"woods", "forest", "trees", "branch"},
    "rock": {"rocks", "boulder", "cliff", "stone", "mountain"},
    "mountain": {"hill", "cliff", "rock", "slope"},
    "field": {"grass", "lawn", "park", "yard", "meadow"},
    "street": {"road", "sidewalk", "city", "pavement"},
    "beach": {"sand", "ocean", "shore", "water"},
    "forest": {"woods", "trees", "tree"},
    "bush": {"bushes", "plant", "tree", "trees", "shrub"},
    "water": {"ocean", "sea", "river", "lake", "pool", "wave", "surf", "beach", "pond"},
    "grass": {"field", "lawn", "park", "yard", "meadow", "ground", "hill"},
    "sand": {"beach", "ground", "dirt", "shore"},
    "mud": {"dirt", "ground", "muddy"},
    "gravel": {"ground", "road", "path", "dirt", "rocks"},
    "concrete": {"street", "road", "sidewalk", "ground", "pavement", "wall"},
    "duck": {"bird"},
    "swan": {"bird", "duck"},
    "chicken": {"bird"},
    "wolf": {"dog"},
    "bull": {"cow", "rodeo", "animal"},
    "van": {"car", "truck", "vehicle", "bus"},
    "taxi": {"car", "cab"},
    "tram": {"train", "bus", "trolley"},
    "kayak": {"boat", "canoe", "kayaking", "kayaker"},
    "yacht": {"boat", "sailboat", "ship"},
    "carriage": {"cart", "stroller"},
    "wagon": {"cart"},
    "stroller": {"cart", "carriage"},
    "stool": {"chair", "bench", "seat"},
    "desk": {"table", "counter"},
    "rope": {"cord", "climbing", "climber", "leash", "harness"},
    "net": {"volleyball", "tennis", "goal", "soccer", "hockey"},
    "racket": {"tennis", "badminton"},
    "paddle": {"boat", "kayak", "canoe", "oar", "raft"},
    "hoodie": {"sweatshirt", "jacket", "hood", "sweater"},
    "beanie": {"hat", "cap"},
    "headband": {"bandanna", "hat"},
    "bikini": {"swimsuit", "bathing", "suit"},
    "wetsuit": {"suit", "surfer", "diver"},
    "robe": {"gown", "dress"},
    "gown": {"dress", "robe"},
    "tuxedo": {"suit"},
    "gym": {"basketball", "court", "gymnast", "gymnasium"},
    "stadium": {"game", "baseball", "soccer", "football", "track"},
    "box": {"cardboard", "boxes", "package"},
    "chef": {"cook", "cooking", "kitchen", "apron"},
    "nurse": {"doctor", "hospital", "medical"},
    "surgeon": {"doctor", "hospital", "medical", "nurse"},
    "firefighter": {"fireman", "firemen", "fire"},
    "cowboy": {"horse", "rodeo", "bull"},
    "jockey": {"horse", "racing"},
    "waiter": {"restaurant", "serving", "server"},
    "boxer": {"boxing", "ring"},
    "wrestler": {"wrestling", "ring"},
    "cheerleader": {"cheer", "cheering", "cheerleading"},
    "mechanic": {"garage", "engine", "car", "motorcycle"},
    "soldier": {"camouflage", "soldiers", "marine"},
}
"""Words of a caption that may mean the noun as well."""
