"""A small network of every family in timm whose maps can be read, and what the others need."""

from lesionkit.learning.backbones import Backbone

ANY_SIZE = """
    beit_base_patch16_224 cait_xxs24_224 coatnet_nano_rw_224 cpubone_nano cs3darknet_focus_s csatv2 cspnext_tiny
    davit_tiny deit_tiny_distilled_patch16_224 deit_tiny_patch16_224 densenet121 dla46_c dpn48b edgenext_xx_small
    efficientformerv2_s0 efficientvit_b0 efficientvit_m0 ese_vovnet19b_slim_dw eva02_tiny_patch14_224 fasternet_t0
    fastvit_t8 fbnetv3_b focalnet_tiny_srf gcvit_xxtiny ghostnet_050 gmlp_ti16_224 hardcorenas_b hgnetv2_b0
    hiera_tiny_224 iformer_t inception_next_atto lcnetv2_small legacy_seresnet18 legacy_xception levit_128
    lowformer_b0 maxvit_pico_rw_256 mixer_s32_224 mixnet_s mobilenetv3_small_050 mobilevit_xxs mobilevitv2_050
    nextvit_small pit_ti_224 poolformer_s12 poolformerv2_s12 pvt_v2_b0 rdnet_tiny regnetx_002 regnety_002
    repghostnet_050 repvit_m1 res2net50_26w_4s res2next50 resmlp_12_224 resnest14d resnet18d resnetv2_18 resnext26ts
    rexnet_100 sam2_hiera_tiny samvit_base_patch16_224 selecsls42 sequencer2d_s shvit_s1 skresnet18 starnet_s050
    swiftformer_xs swin_s3_tiny_224 swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256
    test_byobnet test_coatnet test_convnext test_efficientnet test_mambaout test_nfnet test_resnet test_vit
    test_vit_relpos tf_efficientnetv2_b0 tiny_vit_5m_224 tresnet_m vgg11 visformer_tiny
    vit_dlittle_patch16_reg1_gap_256 vit_tiny_patch16_224 vit_tiny_patch16_dinov3_qkvb vit_tiny_r_s16_p8_224
    vitamin_small_224 volo_d1_224 xception41p xcit_nano_12_p8_224
""".split()
ONE_SIZE = {
    "coat_lite_tiny": (224, 224), "convit_tiny": (224, 224), "convmixer_768_32": (160, 224),
    "efficientformer_l1": (224, 224), "halonet_h1": (256, 256), "inception_resnet_v2": (160, 224),
    "inception_v3": (160, 224), "inception_v4": (160, 224), "nest_tiny": (224, 224),
}  # fmt: skip
SIZES = {name: [(64, 96), (160, 224)] for name in ANY_SIZE} | {name: [size] for name, size in ONE_SIZE.items()}
REMEDIES = (  # a line in BACKBONES
    Backbone("hrnet_w18_small", cam="final_layer"),
    Backbone("mvitv2_tiny", cam="stages.3"),
    Backbone("tnt_s_legacy_patch16_224", cam="blocks.11.norm_out", stride=16),
    Backbone("twins_svt_small", cam="blocks.3.3"),
)
REFUSED = ("coat_tiny", "efficientvim_m1", *(record.name for record in REMEDIES))
