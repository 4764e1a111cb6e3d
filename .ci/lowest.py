"The runtime requirements of settings.ini at their lowest versions, one a line, for pip."
from packaging.requirements import Requirement

from common import cfg

for line in cfg['requirements'].split():
    requirement = Requirement(line)
    lowest = [s.version for s in requirement.specifier if s.operator == '>=']
    if lowest: print(f'{requirement.name}=={lowest[0]}')
