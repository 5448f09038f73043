"""Whether a deploy could begin: AWS lets one in, and what it builds on is there."""

import re

from botocore.exceptions import ClientError

from deploy.ecs.aws import QUICK, asked, client, code
from deploy.ecs.settings import Settings
from deploy.platform import Refused
from deploy.registry import demand_image

PERMIT = "the policy in deploy/ecs/account.yaml says what the deploy's credentials have to permit"
LET_IN = "set DEPLOY_KEY_FILE to a file of AWS credentials that are valid, or the variables of AWS's own tools"

# Seconds that a task of the API may drain before it is stopped: all of its old ones have to be gone within a step.
DRAIN_SECONDS = 120

ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>.+)")


def demand_place(settings: Settings, file: str) -> None:
    """Hold that credentials are valid, that the cluster is ACTIVE, and that the target group lets go in time.

    Raises:
        Refused: naming the first that is not so; `file` is where to change it.
    """
    region, cluster, group = settings["region"], settings["cluster"], settings["target_group"]
    with asked(Refused, f"AWS in {region} to let the deploy in", LET_IN):
        client("sts", region, QUICK).get_caller_identity()
    with asked(Refused, f"to see the cluster {cluster}", PERMIT):
        found = client("ecs", region, QUICK).describe_clusters(clusters=[cluster])["clusters"]
    status = found[0]["status"] if found else "none"
    if status != "ACTIVE":
        raise Refused(
            f"expected the cluster {cluster} in {region} to be ACTIVE, got: {status}; "
            f"create it, or name another in {file}"
        )
    with asked(Refused, f"to see the target group {group}", f"create it, or name another in {file}; {PERMIT}"):
        said = client("elbv2", region, QUICK).describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
    name = "deregistration_delay.timeout_seconds"
    seconds = int(next((each["Value"] for each in said if each["Key"] == name), 300))
    if seconds > DRAIN_SECONDS:
        raise Refused(
            f"expected {name} of the target group to be at most {DRAIN_SECONDS}, got: {seconds}; "
            f"aws elbv2 modify-target-group-attributes --region {region} --target-group-arn {group} "
            f"--attributes Key={name},Value=30"
        )


def demand_version(image: str, version: str) -> None:
    """Hold that the image is there: ECR is asked with the deploy's own credentials, any other registry as one is.

    Raises:
        Refused: it is not, or cannot be looked for.
    """
    ours = ECR.fullmatch(image)
    if not ours:
        demand_image(image, version)
        return
    with asked(Refused, f"to find the image {image}:{version}", f"push it first; {PERMIT}"):
        try:
            client("ecr", ours["region"], QUICK).describe_images(
                registryId=ours["account"], repositoryName=ours["name"], imageIds=[{"imageTag": version}]
            )
        except ClientError as error:
            if code(error) != "ImageNotFoundException":
                raise
            remedy = "push it first, which the pipeline's build does for each commit of the default branch"
            raise Refused(f"expected the image {image}:{version} in its registry, got: none; {remedy}") from None
